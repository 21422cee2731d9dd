"""Do packets of every size that a pod may send get through to other nodes, and does somebody say so when they do not?

Healthy is that the pod's own kernel refuses what is larger than its device ("too big" at once), and everything below
arrives. A router on the way that answers "fragmentation needed" works too: the sender learns. Silence above a size
is a black hole: handshakes and health checks pass, large answers hang.

A ladder of which not even the smallest packet arrived says nothing about sizes.

Source: https://www.rfc-editor.org/rfc/rfc2923 (black holes)
Source: https://docs.tigera.io/calico/latest/networking/configuring/mtu
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bot.agent.report import Link, MtuStep, NodeReport, PodReport, Test
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding
from bot.probes.declaring import NODE, POD, fact
from bot.probes.evidence import Evidence
from bot.probes.needs import LOOK_AT_PODS
from bot.probes.path_mtu_told import NAME, findings
from bot.probes.probe import Probe
from bot.probes.sight import miss_all, put

MTU_VALUES = ("ok", "frag-needed", "black-hole")
_LADDER = "kubectl exec <pod> -- ping -M do -c1 -W1 -s 1422 <remote pod ip>  # 28 bytes of headers come on top"
_NODES = "ping -M do -c1 -W1 -s 1472 <other node>  # on <node>"

FACTS = (
    fact(
        "pair.mtu",
        "str",
        "Packets of growing size from a pod to a pod of the other node.",
        look=_LADDER,
        values=MTU_VALUES,
    ),
    fact("pair.largest_ok_bytes", "int", "The largest packet that got through from pod to pod.", look=_LADDER),
    fact("pair.first_lost_bytes", "int", "The smallest size from which all were lost silently.", look=_LADDER),
    fact("pair.node_mtu", "str", "Packets of growing size from node to node.", look=_NODES, values=MTU_VALUES),
    fact(
        "pair.mtu_differs",
        "bool",
        "The two nodes' uplinks, or their pods, have different MTUs.",
        look="ip -j link  # on both nodes",
        rungs=NODE,
    ),
    fact(
        "node.uplink_mtu_bytes", "int", "MTU of the device that carries the node's address.", look="ip link", rungs=NODE
    ),
    fact(
        "node.pod_mtu_bytes",
        "int",
        "MTU of eth0 in the node's pods (the most frequent one).",
        look="kubectl exec <pod> -- cat /sys/class/net/eth0/mtu",
        rungs=POD,
    ),
    fact(
        "node.fragfails_delta",
        "int",
        "Packets that needed fragmenting and forbade it (Ip.FragFails) meanwhile.",
        look="nstat -az IpFragFails  # on <node>",
    ),
    fact("node.node_mtu", "str", "The worst of the ladders from this node to others.", look=_NODES, values=MTU_VALUES),
)


@dataclass(frozen=True, slots=True)
class Ladder:
    """What a ladder shows."""

    state: str
    largest_ok: int
    first_lost: int | None


def read_ladder(steps: Iterable[MtuStep]) -> Ladder | None:
    """The ladder's meaning; None when nothing got through, or it was not climbed.

    A single lost size below a larger one that arrived is ordinary loss.
    """
    ordered = sorted(steps, key=lambda step: step.size_bytes)
    largest = max((step.size_bytes for step in ordered if step.outcome == "ok"), default=None)
    if largest is None:
        return None
    lost = [step.size_bytes for step in ordered if step.outcome == "timeout" and step.size_bytes > largest]
    if lost:
        return Ladder("black-hole", largest, lost[0])
    told = any(step.outcome == "frag-needed" for step in ordered)
    return Ladder("frag-needed" if told else "ok", largest, None)


def worst(states: Iterable[str]) -> str | None:
    """The worst of several states; None when there is none."""
    return max(states, key=MTU_VALUES.index, default=None)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Every ladder by pair of nodes, and the MTUs of each node."""
    from_pods, from_nodes = _ladders(evidence)
    worst_of: dict[str, list[str]] = defaultdict(list)
    mtus = {name: (_uplink_mtu(evidence, report), _pod_mtu(report.pods)) for name, report in evidence.reports.items()}
    looked = sorted(evidence.reports)
    for source in looked:
        for destination in looked:
            if source != destination:
                pair = facts.pair(source, destination)
                _observe_pair(pair, from_pods.get(pair, ()), from_nodes.get(pair, ()), into)
                put(into, pair, "mtu_differs", _differ(mtus[source], mtus[destination]), "the MTUs were not read")
    for pair, ladders in from_nodes.items():
        worst_of[pair.name.partition(">")[0]] += [ladder.state for ladder in ladders if ladder]
    for name in evidence.nodes:
        _observe_node(evidence, name, mtus.get(name), worst(worst_of[name]), into)


_Ladders = Mapping[Subject, Sequence[Ladder | None]]


def _ladders(evidence: Evidence) -> tuple[_Ladders, _Ladders]:
    from_pods: dict[Subject, list[Ladder | None]] = defaultdict(list)
    from_nodes: dict[Subject, list[Ladder | None]] = defaultdict(list)
    for source, node, test in evidence.tests:
        other = _other_node(evidence, test)
        if test.protocol != "mtu" or not other or other == node:
            continue
        if source.kind is SubjectKind.POD and test.purpose == "remote-pod":
            from_pods[facts.pair(node, other)].append(read_ladder(test.mtu_steps))
        elif source.kind is SubjectKind.NODE and test.purpose == "node":
            from_nodes[facts.pair(node, other)].append(read_ladder(test.mtu_steps))
    return from_pods, from_nodes


def _other_node(evidence: Evidence, test: Test) -> str:
    return test.node or evidence.node_by_ip.get(test.ip, "")


def _observe_pair(
    pair: Subject, from_pods: Sequence[Ladder | None], from_nodes: Sequence[Ladder | None], into: FactBuilder
) -> None:
    why = "not even the smallest packet got through" if from_pods else "no ladder of packet sizes was climbed"
    good = [ladder for ladder in from_pods if ladder]
    state = worst(ladder.state for ladder in good)
    put(into, pair, "mtu", state, why)
    if state is None:
        miss_all(into, pair, ("largest_ok_bytes", "first_lost_bytes"), why)
    else:
        worst_ones = [ladder for ladder in good if ladder.state == state]
        into.set(pair, "largest_ok_bytes", min(ladder.largest_ok for ladder in worst_ones))
        lost = min((ladder.first_lost for ladder in worst_ones if ladder.first_lost), default=None)
        put(into, pair, "first_lost_bytes", lost, "no size was lost")
    why = "not even the smallest packet got through" if from_nodes else "no ladder of packet sizes was climbed"
    put(into, pair, "node_mtu", worst(ladder.state for ladder in from_nodes if ladder), why)


def _uplink_mtu(evidence: Evidence, report: NodeReport) -> int | None:
    node = evidence.nodes.get(report.node)
    own = {each.address for each in node.status.addresses} if node else set[str]()
    devices = {each.dev for each in report.root.addresses if each.ip in own}
    links: tuple[Link, ...] = report.root.links
    return next((link.mtu for link in links if link.name in devices and link.mtu), None)


def _pod_mtu(pods: Iterable[PodReport]) -> int | None:
    found = Counter(
        link.mtu for pod in pods if pod.state for link in pod.state.links if link.name == "eth0" and link.mtu
    )
    return found.most_common(1)[0][0] if found else None


_Mtus = tuple[int | None, int | None]


def _differ(source: _Mtus, destination: _Mtus) -> bool | None:
    pairs = [(a, b) for a, b in zip(source, destination, strict=True) if a is not None and b is not None]
    return any(a != b for a, b in pairs) if pairs else None


def _observe_node(evidence: Evidence, name: str, mtus: _Mtus | None, state: str | None, into: FactBuilder) -> None:
    node, report = facts.node(name), evidence.reports.get(name)
    if report is None or mtus is None:
        keys = ("uplink_mtu_bytes", "pod_mtu_bytes", "fragfails_delta", "node_mtu")
        miss_all(into, node, keys, evidence.why_no_report(name))
        return
    put(into, node, "uplink_mtu_bytes", mtus[0], "no device carries the address that the API knows")
    put(into, node, "pod_mtu_bytes", mtus[1], "no pod of this node was looked at from inside")
    fails = report.root.counters_delta.get("Ip.FragFails", 0) if report.root.counters else None
    put(into, node, "fragfails_delta", fails, "the counters were not read")
    put(into, node, "node_mtu", state, "no ladder of packet sizes from this node got through")


def judge(table: FactTable) -> Sequence[Finding]:
    """See `bot.probes.path_mtu_told`."""
    return findings(table)


PROBE = Probe(
    name=NAME,
    question="Do packets of every size get through between nodes, and does somebody say so when they do not?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
