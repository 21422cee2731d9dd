"""The mechanisms of `data/fates.yaml`, done on nodes of `tests.agent.nodes` and taken back."""

import json
import shlex
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from tests.agent.nodes import Node, Pod

TABLE = Path(__file__).with_name("data") / "fates.yaml"


class Mechanism(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One way to lose a series of packets, and what must be said of it."""

    place: Literal["client", "server", "node", "other node"] = "node"
    client: str = ""
    does: tuple[str, ...] = ()
    undoes: tuple[str, ...] = ()
    flow: dict[str, Any] = {}
    leg: Literal["request", "reply"] = "request"
    hop: str = "node"
    seen: str
    culprit: str


def mechanisms() -> dict[str, dict[str, Mechanism]]:
    """By how the nodes are laid (routed, bridged, crowded, tunnelled), and by name."""
    return msgspec.yaml.decode(TABLE.read_bytes(), type=dict[str, dict[str, Mechanism]])


@contextmanager
def done(mechanism: Mechanism, nodes: Sequence[Node]) -> Generator[None]:
    """While it is done; taken back afterwards, also where the test failed."""
    run, number = nodes[0].namespaces.run, _namespace(mechanism, nodes)
    server = server_of(nodes)
    mac = str(json.loads(run(server.number, "ip", "-json", "link", "show", "dev", "eth0"))[0]["address"])

    def do(place: int, line: str) -> None:
        """A command; a line that begins with "table" is a file of nft's."""
        words = ["nft", line] if line.startswith("table ") else shlex.split(line.replace("SERVER_MAC", mac))
        run(place, *words)

    # Or it is ARP that dies, where no earlier test asked for the address.
    do(nodes[0].pods[0].number, f"ping -c1 -i0.3 -w10 {server.ip}")
    if mechanism.client:
        do(nodes[0].pods[0].number, mechanism.client)
    try:
        for line in mechanism.does:
            do(number, line)
        yield
    finally:
        for line in mechanism.undoes:
            do(number, line)


def server_of(nodes: Sequence[Node]) -> Pod:
    """The pod of the last node that serves."""
    return next(pod for pod in nodes[-1].pods if pod.tcp)


def _namespace(mechanism: Mechanism, nodes: Sequence[Node]) -> int:
    pods = {"client": nodes[0].pods[0], "server": server_of(nodes)}
    if mechanism.place in pods:
        return pods[mechanism.place].number
    return nodes[0 if mechanism.place == "node" else 1].number
