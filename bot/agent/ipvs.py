"""Service ports in the kernel's IPVS table, as kube-proxy's ipvs mode writes them."""

import socket
import struct

from bot.agent.rules import IPVS, RuleSet, Step


def parse_ipvs(text: str) -> RuleSet:
    """Each virtual server of /proc/net/ip_vs as a step with its real servers. Rows that do not fit are left out.

    Rows: "TCP  0A2B000A:0035 rr", then "  -> 0A2A0003:0035      Masq    1      0          0".
    """
    found = RuleSet()
    steps = found.steps["nft", IPVS, IPVS, IPVS]
    current: Step | None = None
    for line in text.splitlines():
        match line.split():
            case ["TCP" | "UDP" as protocol, address, *_]:
                current = _server(protocol, address)
                if current:
                    steps.append(current)
            case ["->", address, *_] if current:
                if endpoint := _endpoint(address):
                    current = Step(
                        ips=current.ips,
                        ports=current.ports,
                        protocols=current.protocols,
                        backends=(*current.backends, f"{endpoint[0]}:{endpoint[1]}"),
                    )
                    steps[-1] = current
            case _:
                pass
    return found


def _server(protocol: str, address: str) -> Step | None:
    endpoint = _endpoint(address)
    if endpoint is None:
        return None
    return Step(ips=frozenset({endpoint[0]}), ports=frozenset({endpoint[1]}), protocols=frozenset({protocol.lower()}))


def _endpoint(text: str) -> tuple[str, int] | None:
    """Hexadecimal "AABBCCDD:PPPP"; IPv6 rows are in brackets and left out."""
    address, _, port = text.partition(":")
    try:
        return socket.inet_ntoa(struct.pack("!I", int(address, 16))), int(port, 16)
    except (ValueError, struct.error):
        return None
