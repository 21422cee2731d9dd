"""Entries on the node that somebody set by hand and that lead packets for a pod elsewhere: they never expire.

Nothing asks before it uses them: no ARP request shows them wrong, and the pod's own tables are right.
"""

from collections.abc import Iterator

from bot.agent.report import Link
from bot.probes.shared.pod_views import NodeView

_LEARNT = frozenset({"REACHABLE", "STALE", "DELAY", "PROBE", "NONE"})


def wrong_static_entries(root: NodeView, link: Link, ip: str, mac: str) -> Iterator[str]:
    """The node's permanent neighbour entries and static forwarding entries of a pod that do not lead to it.

    `link` is the node's end of the pod's link, `mac` the address of the pod's own end.
    """
    for one in root.state.neighbours:
        is_static = one.ip == ip and one.state == "PERMANENT" and one.dev in {link.name, link.master}
        if is_static and one.mac and one.mac.lower() != mac:
            yield f"{one.ip} lladdr {one.mac} dev {one.dev} PERMANENT, whereas the pod has {mac}"
    ports = {name for name, each in root.links.items() if link.master and each.master == link.master}
    for entry in root.state.fdb:
        if entry.mac.lower() == mac and entry.dev in ports - {link.name} and entry.state not in _LEARNT:
            yield f"{entry.mac} dev {entry.dev} master {link.master} static, whereas the pod hangs on {link.name}"
