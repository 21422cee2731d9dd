"""The facts that traffic-control declares: the same four at a pod's own end, at its node's end, and on the node."""

from collections.abc import Iterator

from bot.domain.facts import FactSpec
from bot.probes.engine.fact_spec import fact

QUEUE_STATES = ("none", "idle", "holds", "drops")
FILTER_STATES = ("none", "idle", "takes")
_INSIDE = "nsenter -t <pid> -n sh -c '{}'  # on <node>, twice"
_OUTSIDE = "{}  # on <node>, twice"
_FILTER = (
    "for dev in $(ip -o link | cut -d: -f2 | cut -d@ -f1); "
    "do tc -s filter show dev $dev ingress; tc -s filter show dev $dev egress; done"
)


def _four(prefix: str, devices: str, look: str) -> Iterator[FactSpec]:
    queues, filters = look.format("tc -s qdisc"), look.format(_FILTER)
    yield fact(
        f"{prefix}queue",
        "str",
        f"What queueing disciplines that somebody wrote on {devices} did during the tests; holds: packets wait.",
        look=queues,
        values=QUEUE_STATES,
    )
    yield fact(f"{prefix}queues", "list", f"Such queueing disciplines on {devices}, as `tc` prints them.", look=queues)
    yield fact(
        f"{prefix}filter",
        "str",
        f"What filters of traffic control that are not the CNI's on {devices} did during the tests.",
        look=filters,
        values=FILTER_STATES,
    )
    yield fact(f"{prefix}filters", "list", f"Such filters on {devices}, as `tc` prints them.", look=filters)


FACTS = (
    *_four("pod.", "the pod's own interfaces", _INSIDE),
    *_four("pod.host_", "the node's end of the pod's link", _OUTSIDE),
    *_four("node.", "the node's bridge, tunnel and uplink", _OUTSIDE),
)
