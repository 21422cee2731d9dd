"""The IPv4 addresses that a node takes for its own, and where: what is sent to them never leaves it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.probes.shared.pod_views import NodeView


@dataclass(frozen=True, slots=True)
class Held:
    """Where an address is held."""

    dev: str
    is_route: bool = False
    """By a local route that somebody wrote, not as a device's address."""

    def __str__(self) -> str:
        return f"{self.dev or 'lo'} (a local route)" if self.is_route else self.dev


def addresses_held(root: NodeView) -> Mapping[str, Held]:
    """All addresses of the node's root namespace, and single ones that local routes give to it."""
    routes = (each for each in root.state.routes if each.type == "local" and each.dst.endswith("/32"))
    found = {each.dst.removesuffix("/32"): Held(each.dev, is_route=True) for each in routes}
    return found | {each.ip: Held(each.dev) for each in root.state.addresses if each.family == 4}
