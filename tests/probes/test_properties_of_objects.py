"""No probe trips over what the API does or does not tell: Services, policies, events and custom objects, torn."""

from typing import Any, get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.agent.report import Conntrack, MtuStep, Outcome
from bot.cluster.cni.detect import CniInventory, Encapsulation
from bot.cluster.objects import (
    CustomObject,
    Event,
    IPBlock,
    LabelSelector,
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicySpec,
    ObjectMeta,
    ObjectReference,
)
from bot.domain import facts
from bot.domain.facts import FactBuilder
from bot.domain.finding import Severity
from bot.domain.report import Unobserved
from bot.probes.catalogue import FACTS, PROBES
from bot.probes.engine.evidence import Evidence
from tests.probes.build import FakeCluster, unread
from tests.probes.services import add_dns, add_service, ask, ask_directly, resolve, rules

ENCAPSULATIONS: tuple[Encapsulation, ...] = get_args(Encapsulation)
OUTCOMES: tuple[Outcome, ...] = ("ok", "timeout", "ECONNREFUSED", "EHOSTUNREACH", "skipped", "error")
ANYTHING = Unobserved(what="snapshot", why="It was not read within 5 s.")
"""As recordings of older versions have it: which reads it speaks of is not said."""
SLICES = unread("endpointslices", "Not allowed.", group="discovery.k8s.io", remedy="list it")
OUR_POLICIES = unread("networkpolicies", "Not allowed.", group="networking.k8s.io", namespace="shop", remedy="list it")
LATE = Unobserved(
    what="endpointslices, pods, services",
    why="It was not read within 5 s.",
    kind="api",
    reads=(*SLICES.reads, *unread("pods", "").reads, *unread("services", "").reads),
)
UNREAD = (
    unread("pods", "Not allowed.", remedy="list it"),
    unread("events", "Not allowed.", remedy="list it"),
    unread("services", "Not allowed.", remedy="list it"),
    ANYTHING,
    SLICES,
    unread("networkpolicies", "Not allowed.", group="networking.k8s.io", remedy="list it"),
    OUR_POLICIES,
    unread("deployments", "Not allowed.", group="apps", remedy="list it"),
    unread("ippools", "Not allowed.", group="crd.projectcalico.org", remedy="list it"),
    LATE,
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 3) | st.sampled_from(["", "10.42.0.0/16", "node-1", "x"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["cidr", "node", "ipam"]), inner),
    max_leaves=4,
)
SPECS = st.dictionaries(st.sampled_from(["cidr", "node", "state", "ipam", "addresses", "disabled"]), JUNK, max_size=4)
SELECTORS = st.sampled_from(
    [LabelSelector(), LabelSelector(match_labels={"app": "db"}), LabelSelector(match_labels={"x": "y"})]
)
PEERS = st.one_of(
    st.builds(NetworkPolicyPeer, pod_selector=SELECTORS),
    st.builds(NetworkPolicyPeer, namespace_selector=SELECTORS),
    st.sampled_from([NetworkPolicyPeer(), NetworkPolicyPeer(ip_block=IPBlock(cidr="junk", except_=("10.0.0.0/8",)))]),
)


def a_policy(
    selector: LabelSelector, types: tuple[str, ...], peers: list[NetworkPolicyPeer], name: str
) -> NetworkPolicy:
    spec = NetworkPolicySpec(
        pod_selector=selector,
        policy_types=types,
        ingress=tuple(NetworkPolicyIngressRule(from_=(each,)) for each in peers),
        egress=tuple(NetworkPolicyEgressRule(to=(each,)) for each in peers),
    )
    return NetworkPolicy(metadata=ObjectMeta(name=name, namespace="shop"), spec=spec)


POLICIES = st.builds(
    a_policy,
    SELECTORS,
    st.sampled_from([(), ("Ingress",), ("Egress",), ("Ingress", "Egress")]),
    st.lists(PEERS, max_size=2),
    st.sampled_from(["a", "b"]),
)


class Torn:
    """Evidence that Hypothesis need not print: it is long, and pytest takes the warning for an error."""

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence

    def __repr__(self) -> str:
        missed = [each.what for each in self.evidence.snapshot.unobserved]
        return f"<torn {self.evidence.cni.name} cluster, unread: {missed}>"


@st.composite
def torn_clusters(draw: st.DrawFn) -> Torn:
    cluster = FakeCluster(draw(st.sampled_from(["calico", "flannel", "cilium"])))
    for name in ("node-1", "node-2"):
        cluster.node(name)
    pods = [
        cluster.pod(
            f"shop/db-{n}",
            f"node-{n % 2 + 1}",
            labels=draw(st.sampled_from([{"app": "db"}, {}])),
            is_ready=draw(st.booleans()),
            ip=draw(st.sampled_from(["", "", "10.42.1.10", "172.30.0.11"])),
            host_network=draw(st.sampled_from([False, False, True])),
            phase=draw(st.sampled_from(["Running", "Pending", ""])),
        )
        for n in range(4)
    ]
    ends = draw(st.lists(st.sampled_from(pods), max_size=3))
    service = add_service(
        cluster,
        "shop/db",
        ends,
        unready=pods[:1],
        target=draw(st.sampled_from([None, 8080, "http"])),
        ip=draw(st.sampled_from(["10.43.0.7", "None", ""])),
    )
    if draw(st.booleans()):
        _, server = add_dns(cluster, ready=draw(st.booleans()))
        for pod in pods[: draw(st.integers(0, 4))]:
            outcome = draw(st.sampled_from(OUTCOMES))
            resolve(cluster, pod, outcome, rcode=draw(st.sampled_from(["", "NOERROR", "SERVFAIL", "x"])), server=server)
            resolve(cluster, pod, outcome, name=draw(st.sampled_from(["", "a.b.svc.cluster.local", "example.com"])))
    for source in (*pods[:2], facts.node("node-1")):
        ask(cluster, source, service, draw(st.sampled_from(OUTCOMES)))
        for pod in ends:
            ask_directly(cluster, source, service, pod, draw(st.sampled_from(OUTCOMES)))
        steps = draw(st.lists(st.builds(MtuStep, size_bytes=st.integers(0, 9), outcome=_STEP), max_size=3))
        cluster.test(source, "remote-pod", to=pods[3], protocol="mtu", mtu_steps=tuple(steps))
    rules(
        cluster, "node-1", (service, draw(st.integers(0, 1)), draw(st.sampled_from([(), ("junk",), ("10.9.9.9:1",)])))
    )
    cluster.node_report("node-2", conntrack=draw(st.sampled_from([None, Conntrack(), Conntrack(count=1, max=0)])))
    return Torn(_finish(cluster, draw))


_STEP = st.sampled_from(["ok", "timeout", "too-big-local", "frag-needed", "error"])


def _finish(cluster: FakeCluster, draw: st.DrawFn) -> Evidence:
    missed = draw(st.lists(st.sampled_from(UNREAD), max_size=3))
    custom: dict[str, Any] = {
        plural: tuple(CustomObject(kind="K", metadata=ObjectMeta(name="node-1"), spec=spec) for spec in specs)
        for plural, specs in draw(
            st.dictionaries(
                st.sampled_from(["ippools", "blockaffinities", "ciliumnodes", "globalnetworkpolicies"]),
                st.lists(SPECS, max_size=2),
            )
        ).items()
    }
    about = ObjectReference(kind="Pod", namespace="shop", name="db-0", uid="uid-db-0")
    event = Event(involved_object=about, reason="FailedCreatePodSandBox", message=draw(st.text(max_size=30)))
    kept = draw(st.sampled_from([{}, {"services": ()}, {"endpoint_slices": ()}, {"nodes": ()}, {"pods": ()}]))
    cluster.snapshot_fields |= {
        "unobserved": tuple(missed),
        "network_policies": tuple(draw(st.lists(POLICIES, max_size=3))),
        "custom_objects": custom,
        "events": (event,),
        **kept,
    }
    evidence = cluster.evidence()
    mode = draw(st.sampled_from(["", "ebpf", "iptables"]))
    encapsulation = draw(st.sampled_from(ENCAPSULATIONS))
    daemon_set = draw(st.sampled_from(["", "kube-system/calico-node"]))
    vars(evidence)["cni"] = CniInventory(
        name=cluster.cni, kube_proxy_mode=mode, encapsulation=encapsulation, agent_daemon_set=daemon_set
    )
    return evidence


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(torn=torn_clusters())
def test_any_cluster_can_be_observed_and_judged(torn: Torn):
    evidence = torn.evidence
    builder = FactBuilder(FACTS.values())
    for probe in PROBES:
        probe.observe(evidence, builder)
    known = builder.build(evidence.relations)

    for probe in PROBES:
        for finding in probe.judge(known):
            assert finding.sentence.endswith(".")
            assert finding.severity is not Severity.FAIL or finding.symptom


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(torn=torn_clusters())
def test_what_was_not_read_is_never_counted(torn: Torn):
    """A forbidden list is unknown, never empty."""
    evidence = torn.evidence
    builder = FactBuilder(FACTS.values())
    for probe in PROBES:
        probe.observe(evidence, builder)
    known = builder.build(evidence.relations)
    missed = evidence.snapshot.unobserved

    if ANYTHING in missed or LATE in missed:
        for service in known.subjects(facts.SubjectKind.SERVICE):
            assert "ready_endpoints" not in known.of(service)
    if ANYTHING in missed or OUR_POLICIES in missed:
        for pod in known.subjects(facts.SubjectKind.POD):
            if pod.name.startswith("shop/"):
                assert "policies_ingress" not in known.of(pod)
