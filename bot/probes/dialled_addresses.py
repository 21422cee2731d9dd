"""Do addresses answer that pods are configured to dial and that no Service stands behind?

The agent on the pod's own node (by status.hostIP), a database outside, another pod: they are dialled as they are
written, and no Service or name shows that they do not answer. It is reported as a fault where the address answers
elsewhere, or a pod that dials it is not ready; a ready pod may do without what answers nobody.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#communicating-with-daemon-pods
"""

from collections.abc import Iterator, Sequence

from bot.domain.facts import FactBuilder, FactTable, Flow, Subject, SubjectKind
from bot.domain.finding import Finding, Hop, Severity, Symptom, SymptomKind
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.services.needed import plain_dials
from bot.probes.services.plain_addresses import PlainDial, plain_addresses, serving_at
from bot.probes.shared.values import listed, strings

NAME = "dialled-addresses"
LISTED = 6
NODE_PORTS = range(30000, 32768)
"""The API server's default; hardly any agent of a node listens there."""
_KEYS = (
    *("addresses_failing", "addresses_denied", "addresses_denying", "addresses_dead", "addresses_lost_here"),
    "addresses_lost_flows",
    *("host_ports_unserved", "host_ports_served_at", "node_ports_unknown", "address_is_missed"),
)
_LOOK = "kubectl get pod <pod> -o jsonpath='{.spec.containers[*].env}'"

FACTS = (
    fact(
        "pod.addresses_failing",
        "list",
        "Addresses without a Service that the pod is configured to dial over TCP and that do not answer it.",
        look=_LOOK,
    ),
    fact(
        "pod.addresses_denied",
        "list",
        "Those of them that NetworkPolicies do not let it reach.",
        look="kubectl get networkpolicies -A -o yaml",
    ),
    fact(
        "pod.addresses_denying",
        "list",
        "The NetworkPolicies that do not let it reach them.",
        look="kubectl get networkpolicies -A -o yaml",
    ),
    fact(
        "pod.addresses_dead",
        "list",
        "Those of them, outside the cluster and permitted, that do not answer the pod's node either.",
        look=_LOOK,
    ),
    fact(
        "pod.addresses_lost_here",
        "list",
        "Those of them that are permitted and answer the pod's node (other nodes, where it shares that one's network), "
        "but not the pod.",
        look=_LOOK,
    ),
    fact("pod.addresses_lost_flows", "list", 'These, as "pod>" what has the address in the cluster.', look=_LOOK),
    fact(
        "pod.host_ports_unserved",
        "list",
        "Ports of nodes that the pod is configured to dial and that nothing on that node serves: no socket listens, "
        "and no pod there has it as hostPort.",
        look="ss -tulpn; kubectl get pods -A -o wide --field-selector spec.nodeName=<node>  # on <node>",
    ),
    fact(
        "pod.host_ports_served_at",
        "list",
        "Other nodes where something serves these ports, and what.",
        look="ss -tulpn  # on each node",
    ),
    fact(
        "pod.node_ports_unknown",
        "list",
        "Those of them in the range of node ports, which no Service that was read has; and which ones the Services of "
        "the pod's namespace have.",
        look="kubectl get services -A  # against the port that the pod dials",
    ),
    fact(
        "pod.address_is_missed",
        "bool",
        "The pod is not ready, so that an address that does not answer it may be why.",
        look="kubectl get pod <pod> -o wide",
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Of each pod asked about what came of these addresses."""
    tried, wanted = plain_addresses(evidence), plain_dials(evidence)
    for pod in evidence.scope_pods:
        dials = tried.get(pod, ())
        if len(dials) < len(wanted.get(pod, ())):
            into.miss_all(pod, _KEYS, "not every address that it is configured to dial was tried from it")
            continue
        lost = [each for each in dials if each.reach not in {"ok", "mixed"}]
        unserved = [each for each in lost if _is_unserved(evidence, each)]
        permitted = [each for each in lost if each not in unserved and each.permitted == "yes"]
        denied = [each for each in lost if each not in unserved and each.permitted == "no"]
        dead = [each for each in permitted if each.contrast not in {None, "ok", "mixed"} and each.flow.target is None]
        here = [each for each in permitted if each.contrast in {"ok", "mixed"}]
        into.set(pod, "addresses_failing", _words(lost))
        into.set(pod, "addresses_denied", _words(denied))
        into.set(pod, "addresses_denying", tuple(dict.fromkeys(name for each in denied for name in each.policies)))
        into.set(pod, "addresses_dead", _words(dead))
        into.set(pod, "addresses_lost_here", _words(here))
        into.set_flows(pod, "addresses_lost_flows", ((pod, each.flow.target) for each in here), most=LISTED)
        into.set(pod, "host_ports_unserved", tuple(f"{each.at} (node {_node(each)})" for each in unserved)[:LISTED])
        served = (where for each in unserved for where in _elsewhere(evidence, each))
        into.set(pod, "host_ports_served_at", tuple(dict.fromkeys(served))[:LISTED])
        into.set(pod, "node_ports_unknown", tuple(_node_ports(evidence, pod, unserved))[:LISTED])
        into.set(pod, "address_is_missed", not evidence.pods[pod].is_ready)


def _is_unserved(evidence: Evidence, dial: PlainDial) -> bool:
    """Whether nothing on that node is there to answer: what others are answered is translated (a node port)."""
    node = _node(dial)
    is_served = dial.contrast in {"ok", "mixed"}
    return node != "" and not is_served and serving_at(evidence, node, dial.flow.port) == ()


def _node(dial: PlainDial) -> str:
    """The node whose address is dialled, "" for a pod and for a machine outside."""
    target = dial.flow.target
    return target.name if target is not None and target.kind is SubjectKind.NODE else ""


def _node_ports(evidence: Evidence, pod: Subject, dials: Sequence[PlainDial]) -> Iterator[str]:
    """What is dialled as only node ports are (by the default range), with those that there are."""
    namespace = evidence.pods[pod].metadata.namespace
    own = [
        f"{service.name} has {port.node_port}"
        for service, each in sorted(evidence.services.items())
        if each.metadata.namespace == namespace
        for port in each.spec.ports
        if port.node_port
    ]
    for each in dials:
        if each.flow.port in NODE_PORTS:
            yield f"{each.flow.port} ({listed(own) if own else f'no Service of {namespace} has any'})"


def _words(dials: Sequence[PlainDial]) -> tuple[str, ...]:
    return tuple(each.words for each in dials)[:LISTED]


def _elsewhere(evidence: Evidence, dial: PlainDial) -> Iterator[str]:
    for node in sorted(evidence.reports):
        if node != _node(dial) and (who := serving_at(evidence, node, dial.flow.port)):
            yield f"{node} ({listed(who, 2)})"


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL where a pod that is not ready gets no answer, or one that others get; INFO where a ready one gets none."""
    return [finding for pod in table.subjects(SubjectKind.POD) for finding in _about(table, pod)]


def _about(table: FactTable, pod: Subject) -> Iterator[Finding]:
    known = table.of(pod)
    lost = strings(known.get("addresses_failing"))
    if not lost:
        return
    unserved, here = strings(known.get("host_ports_unserved")), strings(known.get("addresses_lost_here"))
    is_unready = known.get("address_is_missed") is True
    is_fault = is_unready or bool(here)
    tail = f" Nothing on that node serves {listed(unserved)}." if unserved else ""
    if here:
        whom = "Other nodes reach" if known.get("host_network") is True else "Its node reaches"
        tail = f" {whom} {'it' if len(here) == len(lost) == 1 else listed([each.partition(' ')[0] for each in here])}."
    flows = table.flows_of(pod, "addresses_lost_flows")
    yield Finding(
        probe=NAME,
        subject=pod,
        severity=Severity.FAIL if is_fault else Severity.INFO,
        sentence=f"Pod {pod.name} is {'not ready' if is_unready else 'ready'}, and an address that it is configured to "
        f"dial does not answer it: {listed(lost)}.{tail}",
        evidence={"addresses_failing": lost},
        symptom=Symptom(kind=_kind(table, flows), subject=pod, hop=_hop(here, unserved), flows=flows)
        if is_fault
        else None,
    )


def _kind(table: FactTable, flows: Sequence[Flow]) -> SymptomKind:
    """By where what answers others is: a pod, or else a machine to which the way leads out of the pod network."""
    hosts = table.relations.node_of_pod
    if not flows:
        return SymptomKind.ADDRESS_UNREACHABLE
    if any(flow.target is None or flow.target.kind is not SubjectKind.POD for flow in flows):
        return SymptomKind.OUTSIDE_UNREACHABLE
    if all(flow.target and hosts.get(flow.source) == hosts.get(flow.target) for flow in flows):
        return SymptomKind.LOCAL_PODS_UNREACHABLE
    return SymptomKind.CROSS_NODE_UNREACHABLE


def _hop(here: Sequence[str], unserved: Sequence[str]) -> Hop:
    if here:
        return "node"
    return "application" if unserved else "underlay"


PROBE = Probe(
    name=NAME,
    question="Do addresses answer that pods are configured to dial and that no Service stands behind?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
