"""Does a queue, or a filter of traffic control, take packets on the devices that carry them?

Chaos experiments, bandwidth plugins and hand-made tests leave queueing disciplines (tbf, netem) and filters (drop,
redirect) on a pod's link. No packet filter shows them, and no counter of the device names them. What the kernel puts
on a device by itself has the handle 0; everything else somebody wrote, and its own counters tell whether it took
packets while the tests ran.

A BPF program that hangs there (as a filter, or by XDP, tcx or netkit) has no counter. It took packets when packets that
were followed ended on that device and side, and nothing else there decides.

A filter that redirects to an `ifb` device only takes a detour through that device's queue: so bandwidth plugins shape
what a pod sends.

Source: https://man7.org/linux/man-pages/man8/tc.8.html, tc-mirred.8
Source: https://github.com/containernetworking/plugins/blob/main/plugins/meta/bandwidth/ifb_creator.go
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from bot.agent.report import Filter, NetnsState, Qdisc
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.packet_trace.fate import fates
from bot.probes.pod_link.observe import host_end
from bot.probes.shared.pod_views import NodeView, PodView, node_views, observable_pods
from bot.probes.shared.programs import is_cni_program
from bot.probes.shared.shared_devices import shared_devices

KEYS = ("queue", "queues", "filter", "filters")
MANY = 0.1
"""This share of the packets dropped is more than a limit that somebody meant takes from so few tests."""
LISTED = 5
_INSIDE = {"egress": "what the pod sends, answers included", "ingress": "what comes to the pod, answers included"}
_OUTSIDE = {"egress": _INSIDE["ingress"], "ingress": _INSIDE["egress"]}
_OF_NODE = {"egress": "what the node sends by it", "ingress": "what comes to the node by it"}
GATES = frozenset({"clsact", "ingress"})
"""They hold filters and queue nothing."""
_FAIR = frozenset({"fq", "mq", "mqprio", "noqueue"})
"""Cilium's bandwidth manager sets fq, drivers set mq: both share out what is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Devices of one namespace that are judged together."""

    subject: Subject
    prefix: str
    """Of the facts."""
    state: NetnsState
    devices: Collection[str]
    root: NodeView
    traced: Collection[tuple[str, str]]
    """Devices and sides where followed packets ended."""
    cni: str
    ways: Mapping[str, str]
    """By side of a device, what passes there."""
    detours: Collection[str] = ()
    """Those of the devices that what comes in is led through: their queues hold what comes in."""

    def way(self, dev: str, side: str) -> str:
        """What passes a device on this side."""
        return self.ways["ingress" if dev in self.detours else side]

    @property
    def why_not_all(self) -> str:
        """Why programs may hang there that were not reported; "" where all were."""
        return "" if self.state.has_all_programs else self.root.why_missing("root.programs")


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Both ends of every pod's link, and what all pods of a node share."""
    for view in observable_pods(evidence):
        _observe_pod(evidence, view, into)
    for name, root in node_views(evidence).items():
        place = _Place(
            subject=facts.node(name),
            prefix="",
            state=root.state,
            devices=shared_devices(evidence, root),
            root=root,
            traced=traced_sides(evidence, name),
            cni=evidence.cni.name,
            ways=_OF_NODE,
        )
        _observe(place, into)


def _observe_pod(evidence: Evidence, view: PodView, into: FactBuilder) -> None:
    prefixes = ("", "host_")
    if view.state is None or view.root is None:
        why = view.why or "the pod's own namespace was not read"
        into.miss_all(view.subject, (f"{prefix}{key}" for prefix in prefixes for key in KEYS), why)
        return
    uid = view.pod.metadata.uid
    own = _Place(
        subject=view.subject,
        prefix="",
        state=view.state,
        devices={link.name for link in view.state.links},
        root=view.root,
        traced=traced_sides(evidence, uid),
        cni=evidence.cni.name,
        ways=_INSIDE,
    )
    _observe(own, into)
    link = host_end(view)
    if link is None:
        into.miss_all(view.subject, (f"host_{key}" for key in KEYS), "the node's end of the pod's link was not found")
        return
    here = [one for one in view.root.state.filters or () if one.dev == link.name]
    detours = {one.target for one in here if _is_detour(one, view.root)}
    outside = _Place(
        subject=view.subject,
        prefix="host_",
        state=view.root.state,
        devices={link.name, *detours},
        root=view.root,
        traced=traced_sides(evidence, view.root.name),
        cni=evidence.cni.name,
        ways=_OUTSIDE,
        detours=detours,
    )
    _observe(outside, into)


def _observe(place: _Place, into: FactBuilder) -> None:
    subject, prefix, state, devices = place.subject, place.prefix, place.state, place.devices
    if state.qdiscs is None or state.filters is None:
        into.miss_all(subject, (f"{prefix}{key}" for key in KEYS), "queues and filters were not read")
        return
    written = [one for one in state.qdiscs if one.dev in devices and one.is_written and one.kind not in _FAIR]
    gates = [one for one in written if one.kind in GATES]
    # What dropped most comes first: a hierarchy counts a drop at each of its levels.
    queues = sorted((one for one in written if one.kind not in GATES), key=lambda one: -one.dropped_delta)
    filters = [one for one in state.filters if one.dev in devices and one.effect and not _is_detour(one, place.root)]
    filters = [one for one in filters if not is_cni_program(one, place.cni)]
    word = _worst([queue_state(one) for one in queues], ("drops", "holds", "few", "idle"))
    few = "they dropped less than a tenth of the packets, as a limit does that somebody meant"
    into.put(subject, f"{prefix}queue", None if word == "few" else word, few)
    into.set(subject, f"{prefix}queues", tuple(_queue_words(one, place) for one in queues[:LISTED]))
    has_own = {one.dev for one in state.filters if is_cni_program(one, place.cni)}
    dropping = {gate.dev for gate in gates if gate.dropped_delta} - has_own
    convicted = {
        side for side in place.traced if side[0] not in has_own and sum(_side(one) == side for one in filters) == 1
    }
    states = ["takes" if _side(one) in convicted else _filter_state(one, dropping) for one in filters]
    word = _worst(states, ("takes", "unread", "idle"))
    unread = "the kernel does not count what they take"
    if word == "none" and place.why_not_all:
        word, unread = "unread", f"programs on devices were not read: {place.why_not_all}"
    into.put(subject, f"{prefix}filter", None if word == "unread" else word, unread)
    into.set(subject, f"{prefix}filters", tuple(_filter_words(one, place) for one in filters[:LISTED]))


@once_per_evidence
def _traced(evidence: Evidence) -> Mapping[str, frozenset[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for fate in fates(evidence):
        if fate.taken_at is not None:
            place, dev, direction = fate.taken_at
            found[place].add((dev, direction))
    return {place: frozenset(sides) for place, sides in found.items()}


def traced_sides(evidence: Evidence, place: str) -> frozenset[tuple[str, str]]:
    """Devices and sides of a namespace (a node's name, a pod's uid) where followed packets ended."""
    return _traced(evidence).get(place, frozenset())


def _side(one: Filter) -> tuple[str, str]:
    return one.dev, one.direction


def _worst(states: Collection[str], order: Iterable[str]) -> str:
    return next((state for state in order if state in states), "none")


def _is_detour(one: Filter, root: NodeView) -> bool:
    """Whether it only leads through the queue of an ifb device, which gives packets back."""
    return one.effect == "redirect" and one.target in root.links and root.links[one.target].kind == "ifb"


def queue_state(one: Qdisc) -> str:
    """What a queue did while the tests ran: it drops, dropped few, holds packets back, or did nothing of that."""
    if one.dropped_delta:
        return "drops" if one.dropped_delta >= MANY * (one.packets_delta + one.dropped_delta) else "few"
    return "holds" if one.backlog else "idle"


def _filter_state(one: Filter, dropping: Collection[str]) -> str:
    """A BPF program without a counter of its own is judged by the drops of the place that it hangs in."""
    if one.packets_delta:
        return "takes"
    if one.effect == "program" or one.packets is None:
        return "takes" if one.dev in dropping else "unread"
    return "idle"


def _queue_words(one: Qdisc, place: _Place) -> str:
    taken = one.packets_delta + one.dropped_delta
    waits = f", {one.backlog} still waiting" if one.backlog else ""
    way = place.way(one.dev, "egress")
    return f"{one.text} on {one.dev} ({way}): {one.dropped_delta} of {taken} packets dropped during the tests{waits}"


def _filter_words(one: Filter, place: _Place) -> str:
    took = "" if one.packets_delta is None else f", took {one.packets_delta} packets during the tests"
    way = place.way(one.dev, one.direction)
    return f"{one.text} on {one.dev} {one.direction} ({way}){took}"
