"""Whether a pod's own end is what is broken, as pod-link and pod-routes tell it: others then need not tell it again."""

from collections.abc import Mapping

from bot.domain.facts import Value

NO_WAY_OUT = frozenset({"missing", "mistyped", "unreachable", "blackhole", "prohibit"})
"""States of a pod's default route with which its own kernel refuses to send."""


def is_link_broken(known: Mapping[str, Value]) -> bool:
    """Whether one of the ends of the pod's link is down or missing."""
    return known.get("eth0") in {"down", "missing", "no-carrier"} or known.get("host_link") in {"down", "missing"}


def cannot_send(known: Mapping[str, Value]) -> bool:
    """Whether nothing leaves the pod, for want of a link or of a route: then its gateway was never asked."""
    return is_link_broken(known) or known.get("default_route") in NO_WAY_OUT
