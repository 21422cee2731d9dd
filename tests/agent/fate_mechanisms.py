"""The mechanisms of `data/fates.yaml`, done on nodes of `tests.agent.nodes` and taken back."""

import shlex
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import msgspec

from tests.agent.nodes import Node

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
    """By how the nodes are laid (routed, bridged, tunnelled), and by name."""
    return msgspec.yaml.decode(TABLE.read_bytes(), type=dict[str, dict[str, Mechanism]])


@contextmanager
def done(mechanism: Mechanism, nodes: Sequence[Node]) -> Generator[None]:
    """While it is done; taken back afterwards, also where the test failed."""
    number = _namespace(mechanism, nodes)
    if mechanism.client:
        nodes[0].namespaces.run(nodes[0].pods[0].number, *_words(mechanism.client))
    try:
        for line in mechanism.does:
            nodes[0].namespaces.run(number, *_words(line))
        yield
    finally:
        for line in mechanism.undoes:
            nodes[0].namespaces.run(number, *_words(line))


def _words(line: str) -> list[str]:
    """A command; a line that begins with "table" is a file of nft's."""
    return ["nft", line] if line.startswith("table ") else shlex.split(line)


def _namespace(mechanism: Mechanism, nodes: Sequence[Node]) -> int:
    pods = {"client": nodes[0].pods[0], "server": nodes[-1].pods[-1]}
    if mechanism.place in pods:
        return pods[mechanism.place].number
    return nodes[0 if mechanism.place == "node" else 1].number
