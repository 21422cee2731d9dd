"""The arithmetic of NetworkPolicies: a table of flows, and the laws that hold for all of them."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.cluster.cni.detect import CniInventory, CniName
from bot.cluster.objects import (
    Container,
    ContainerPort,
    IPBlock,
    LabelSelector,
    LabelSelectorRequirement,
    Namespace,
    NetworkPolicy,
    NetworkPolicyEgressRule,
    NetworkPolicyIngressRule,
    NetworkPolicyPeer,
    NetworkPolicyPort,
    NetworkPolicySpec,
    ObjectMeta,
    Pod,
    PodSpec,
    PodStatus,
)
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain import facts
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.enforcement import allowed
from bot.probes.policy.evaluation import policy_index
from tests.probes.build import unread

GROUP = "networking.k8s.io"

EVERYTHING = LabelSelector()
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def pod(name: str, ip: str, *, namespace: str = "shop", node: str = "node-1", host: bool = False, **labels: str) -> Pod:
    ports = (
        ContainerPort(container_port=8080, name="http"),
        ContainerPort(container_port=53, name="dns", protocol="UDP"),
    )
    return Pod(
        metadata=ObjectMeta(name=name, namespace=namespace, uid=f"uid-{name}", labels={"app": name, **labels}),
        spec=PodSpec(node_name=node, host_network=host, containers=(Container(name="main", ports=ports),)),
        status=PodStatus(phase="Running", pod_ip=ip),
    )


WEB = facts.pod("shop", "web")
DB = facts.pod("shop", "db")
LENS = facts.pod("monitoring", "lens")
HOST = facts.pod("shop", "host")
FAR = facts.pod("shop", "far")
PODS = (
    pod("web", "10.42.1.10", tier="front"),
    pod("db", "10.42.1.11", tier="back"),
    pod("lens", "10.42.2.12", namespace="monitoring", node="node-2"),
    pod("host", "172.30.0.11", host=True),
    pod("far", "172.30.0.12", host=True, node="node-2"),
)
NAMESPACES = (
    Namespace(metadata=ObjectMeta(name="shop", labels={"team": "a"})),
    Namespace(metadata=ObjectMeta(name="monitoring", labels={"team": "b"})),
)


def policy(
    name: str = "p",
    *,
    ingress: tuple[NetworkPolicyIngressRule, ...] = (),
    egress: tuple[NetworkPolicyEgressRule, ...] = (),
    types: tuple[str, ...] = ("Ingress",),
    selector: LabelSelector = EVERYTHING,
    namespace: str = "shop",
) -> NetworkPolicy:
    return NetworkPolicy(
        metadata=ObjectMeta(name=name, namespace=namespace),
        spec=NetworkPolicySpec(pod_selector=selector, policy_types=types, ingress=ingress, egress=egress),
    )


def labels(**wanted: str) -> LabelSelector:
    return LabelSelector(match_labels=wanted)


def peer(
    pods: LabelSelector | None = None, namespaces: LabelSelector | None = None, block: IPBlock | None = None
) -> NetworkPolicyPeer:
    return NetworkPolicyPeer(pod_selector=pods, namespace_selector=namespaces, ip_block=block)


def from_(*peers: NetworkPolicyPeer, ports: tuple[NetworkPolicyPort, ...] = ()) -> tuple[NetworkPolicyIngressRule, ...]:
    return (NetworkPolicyIngressRule(from_=peers, ports=ports),)


def to(*peers: NetworkPolicyPeer, ports: tuple[NetworkPolicyPort, ...] = ()) -> tuple[NetworkPolicyEgressRule, ...]:
    return (NetworkPolicyEgressRule(to=peers, ports=ports),)


def port(number: int | str | None, *, end: int | None = None, protocol: str = "TCP") -> NetworkPolicyPort:
    return NetworkPolicyPort(port=number, end_port=end, protocol=protocol)


def evidence(*policies: NetworkPolicy, cni: CniName = "calico", **snapshot: Any) -> Evidence:
    fields: dict[str, Any] = {"pods": PODS, "namespaces": NAMESPACES, "network_policies": policies}
    seen = Evidence(snapshot=Snapshot(cluster="test", taken_at=NOW, namespace="shop", **(fields | snapshot)))
    vars(seen)["cni"] = CniInventory(name=cni)
    return seen


DENY = policy("deny")
DENY_EGRESS = policy("deny-egress", types=("Egress",))


@pytest.mark.parametrize(
    ("policies", "source", "target", "at", "expected"),
    [
        pytest.param((), WEB, DB, 8080, "yes", id="no policies"),
        pytest.param((DENY,), WEB, DB, 8080, "no", id="default deny"),
        pytest.param((DENY,), WEB, WEB, 8080, "yes", id="a pod reaches itself"),
        pytest.param((DENY,), WEB, LENS, 8080, "yes", id="ingress policies do not isolate egress"),
        pytest.param((DENY_EGRESS,), WEB, DB, 8080, "no", id="egress alone denies"),
        pytest.param((DENY_EGRESS,), LENS, DB, 8080, "yes", id="egress policies do not isolate ingress"),
        pytest.param((policy(ingress=from_()),), LENS, DB, 8080, "yes", id="a rule without from takes everybody"),
        pytest.param((policy(ingress=from_(peer(labels(app="web")))),), WEB, DB, 8080, "yes", id="podSelector"),
        pytest.param((policy(ingress=from_(peer(labels(app="db")))),), WEB, DB, 8080, "no", id="other podSelector"),
        pytest.param(
            (policy(ingress=from_(peer(EVERYTHING))),), LENS, DB, 8080, "no", id="podSelector: own namespace only"
        ),
        pytest.param(
            (policy(ingress=from_(peer(None, EVERYTHING))),), LENS, DB, 8080, "yes", id="namespaceSelector: all of it"
        ),
        pytest.param(
            (policy(ingress=from_(peer(labels(app="lens"), labels(team="b")))),), LENS, DB, 8080, "yes", id="both: and"
        ),
        pytest.param(
            (policy(ingress=from_(peer(labels(app="web"), labels(team="b")))),), LENS, DB, 8080, "no", id="both: not or"
        ),
        pytest.param(
            (policy(ingress=from_(peer(labels(app="web")), peer(None, labels(team="b")))),),
            LENS,
            DB,
            8080,
            "yes",
            id="two peers: or",
        ),
        pytest.param(
            (policy(ingress=from_(peer(None, labels(**{"kubernetes.io/metadata.name": "monitoring"})))),),
            LENS,
            DB,
            8080,
            "yes",
            id="the label that every namespace has",
        ),
        pytest.param(
            (policy(ingress=from_(peer(block=IPBlock(cidr="10.42.2.0/24")))),), LENS, DB, 8080, "yes", id="ipBlock"
        ),
        pytest.param(
            (policy(ingress=from_(peer(block=IPBlock(cidr="10.42.0.0/16", except_=("10.42.2.0/24",))))),),
            LENS,
            DB,
            8080,
            "no",
            id="ipBlock except",
        ),
        pytest.param((policy(ingress=from_(ports=(port(8080),))),), WEB, DB, 8080, "yes", id="port"),
        pytest.param((policy(ingress=from_(ports=(port(8081),))),), WEB, DB, 8080, "no", id="other port"),
        pytest.param((policy(ingress=from_(ports=(port(8000, end=8090),))),), WEB, DB, 8080, "yes", id="endPort"),
        pytest.param((policy(ingress=from_(ports=(port(8000, end=8079),))),), WEB, DB, 8080, "no", id="past endPort"),
        pytest.param((policy(ingress=from_(ports=(port("http"),))),), WEB, DB, 8080, "yes", id="named port"),
        pytest.param((policy(ingress=from_(ports=(port("dns"),))),), WEB, DB, 8080, "no", id="other named port"),
        pytest.param((policy(ingress=from_(ports=(port(None),))),), WEB, DB, 8080, "yes", id="all ports of TCP"),
        pytest.param(
            (policy(ingress=from_(ports=(port(None, protocol="UDP"),))),), WEB, DB, 8080, "no", id="all ports of UDP"
        ),
        pytest.param(
            (policy(types=("Egress",), egress=to(ports=(port("http"),))),), WEB, DB, 8080, "yes", id="named, egress"
        ),
        pytest.param((policy(types=()),), WEB, DB, 8080, "no", id="policyTypes absent: ingress"),
        pytest.param(
            (policy(types=(), egress=to(peer(labels(app="x"))), ingress=from_()),),
            WEB,
            DB,
            8080,
            "no",
            id="policyTypes absent with egress rules: both",
        ),
        pytest.param((policy(selector=labels(app="web")),), WEB, DB, 8080, "yes", id="selects the other pod"),
        pytest.param((policy(namespace="monitoring"),), WEB, DB, 8080, "yes", id="policy of another namespace"),
        pytest.param((DENY, policy("allow", ingress=from_())), WEB, DB, 8080, "yes", id="an allow after the deny"),
        pytest.param((DENY,), HOST, DB, 8080, "yes", id="the pod's own node always may"),
        pytest.param((DENY,), facts.node("node-1"), DB, 8080, "yes", id="so may its root namespace"),
        pytest.param((DENY,), FAR, DB, 8080, "no", id="no rule at all stops other nodes too"),
        pytest.param(
            (policy(ingress=from_(peer(EVERYTHING))),), FAR, DB, 8080, "unknown", id="hostNetwork and a podSelector"
        ),
        pytest.param((DENY,), WEB, HOST, 8080, "yes", id="hostNetwork pods are beyond policies"),
        pytest.param((DENY,), WEB, facts.pod("shop", "gone"), 8080, "unknown", id="a pod that nobody knows"),
    ],
)
def test_flows(
    policies: tuple[NetworkPolicy, ...], source: facts.Subject, target: facts.Subject, at: int, expected: str
):
    assert allowed(evidence(*policies), source, target, at, "tcp").verdict == expected


def test_address_blocks_do_not_speak_of_pods_under_cilium():
    """Its identities know no addresses of pods; some versions can be told to."""
    block = policy(ingress=from_(peer(block=IPBlock(cidr="10.42.2.0/24"))))

    assert allowed(evidence(block, cni="cilium"), LENS, DB, 8080, "TCP").verdict == "unknown"
    assert allowed(evidence(block, cni="cilium"), WEB, DB, 8080, "TCP").verdict == "no"


def test_icmp_passes_only_rules_without_ports():
    assert allowed(evidence(policy(ingress=from_())), WEB, DB, None, "icmp").verdict == "yes"
    assert allowed(evidence(policy(ingress=from_(ports=(port(8080),)))), WEB, DB, None, "icmp").verdict == "no"


def test_names_the_policies_that_deny():
    answer = allowed(evidence(DENY, DENY_EGRESS, policy("other", namespace="monitoring")), WEB, DB, 8080, "TCP")

    assert answer.is_denied
    assert (answer.ingress.verdict, answer.egress.verdict) == ("no", "no")
    assert answer.policies == ("shop/deny", "shop/deny-egress")


def test_forbidden_policies_are_unknown_not_none():
    forbidden = (unread("networkpolicies", "not allowed to list networkpolicies", group=GROUP),)
    answer = allowed(evidence(unobserved=forbidden), WEB, DB, 8080, "TCP")

    assert answer.verdict == "unknown"
    assert answer.why == ("NetworkPolicies of namespace shop could not be read: not allowed to list networkpolicies")


def test_where_only_the_namespace_may_be_listed_other_namespaces_stay_unknown():
    everywhere = unread("networkpolicies", "Not allowed.", group=GROUP, remedy="list networkpolicies.networking.k8s.io")
    seen = evidence(unobserved=(everywhere,))

    assert allowed(seen, WEB, DB, 8080, "TCP").verdict == "yes"
    assert allowed(seen, WEB, LENS, 8080, "TCP").verdict == "unknown"


def test_calicos_own_policies_that_could_not_be_read_are_another_matter():
    theirs = unread("networkpolicies", "Not allowed.", group="crd.projectcalico.org")

    assert allowed(evidence(unobserved=(theirs,)), WEB, LENS, 8080, "TCP").verdict == "yes"


def test_what_is_known_to_allow_stays_allowed_when_other_policies_were_not_read():
    """No policy can deny what another allows."""
    forbidden = (unread("networkpolicies", "no", group=GROUP),)
    both = evidence(policy("allow", types=("Ingress", "Egress"), ingress=from_(), egress=to()), unobserved=forbidden)

    assert allowed(both, WEB, DB, 8080, "TCP").verdict == "yes"


def test_labels_of_a_namespace_that_was_not_read_are_unknown():
    mine = NAMESPACES[:1]
    by_team = evidence(policy(ingress=from_(peer(None, labels(team="b")))), namespaces=mine)
    by_name = evidence(
        policy(ingress=from_(peer(None, labels(**{"kubernetes.io/metadata.name": "shop"})))), namespaces=mine
    )

    assert allowed(by_team, LENS, DB, 8080, "TCP").verdict == "unknown"
    assert allowed(by_name, LENS, DB, 8080, "TCP").verdict == "no"


@pytest.mark.parametrize(
    ("operator", "values", "expected"),
    [
        ("In", ("front", "x"), "yes"),
        ("In", ("x",), "no"),
        ("NotIn", ("x",), "yes"),
        ("NotIn", ("front",), "no"),
        ("Exists", (), "yes"),
        ("DoesNotExist", (), "no"),
        ("Sideways", (), "unknown"),
    ],
)
def test_match_expressions(operator: str, values: tuple[str, ...], expected: str):
    wanted = LabelSelector(match_expressions=(LabelSelectorRequirement(key="tier", operator=operator, values=values),))

    assert allowed(evidence(policy(ingress=from_(peer(wanted)))), WEB, DB, 8080, "TCP").verdict == expected


# Laws

SELECTORS = st.sampled_from(
    [EVERYTHING, labels(app="web"), labels(app="db"), labels(tier="back"), labels(team="b"), labels(team="a")]
)
PEERS = st.one_of(
    st.builds(peer, SELECTORS),
    st.builds(peer, st.none(), SELECTORS),
    st.builds(peer, SELECTORS, SELECTORS),
    st.sampled_from([peer(block=IPBlock(cidr=cidr)) for cidr in ("10.42.1.0/24", "0.0.0.0/0", "junk")]),
)
PORTS = st.builds(
    port, st.sampled_from([None, 8080, 53, "http", "dns"]), end=st.none(), protocol=st.sampled_from(["TCP", "UDP"])
)
INGRESS = st.builds(
    NetworkPolicyIngressRule, from_=st.lists(PEERS, max_size=2).map(tuple), ports=st.lists(PORTS, max_size=2).map(tuple)
)
EGRESS = st.builds(
    NetworkPolicyEgressRule, to=st.lists(PEERS, max_size=2).map(tuple), ports=st.lists(PORTS, max_size=2).map(tuple)
)
TYPES = st.sampled_from([(), ("Ingress",), ("Egress",), ("Ingress", "Egress")])
POLICIES = st.lists(
    st.builds(
        policy,
        st.sampled_from(["a", "b", "c"]),
        ingress=st.lists(INGRESS, max_size=2).map(tuple),
        egress=st.lists(EGRESS, max_size=2).map(tuple),
        types=TYPES,
        selector=SELECTORS,
        namespace=st.sampled_from(["shop", "monitoring"]),
    ),
    max_size=4,
)
ENDS = st.sampled_from([WEB, DB, LENS, HOST, FAR, facts.node("node-1"), facts.node("node-2")])
AT = st.sampled_from([(8080, "TCP"), (53, "UDP"), (9, "TCP"), (0, "ICMP")])
ORDER = {"no": 0, "unknown": 1, "yes": 2}


@given(source=ENDS, target=ENDS, at=AT)
def test_without_policies_everything_is_allowed(source: facts.Subject, target: facts.Subject, at: tuple[int, str]):
    assert allowed(evidence(), source, target, *at).verdict == "yes"


@given(policies=POLICIES, source=ENDS, target=ENDS, at=AT, seed=st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_the_order_of_policies_never_matters(
    policies: list[NetworkPolicy], source: facts.Subject, target: facts.Subject, at: tuple[int, str], seed: Any
):
    shuffled = list(policies)
    seed.shuffle(shuffled)
    first, second = (allowed(evidence(*each), source, target, *at) for each in (policies, shuffled))

    assert (first.verdict, first.policies) == (second.verdict, second.policies)


@given(policies=POLICIES, source=ENDS, target=ENDS, at=AT)
@settings(max_examples=200)
def test_allowing_everything_after_a_default_deny_allows(
    policies: list[NetworkPolicy], source: facts.Subject, target: facts.Subject, at: tuple[int, str]
):
    both = ("Ingress", "Egress")
    more = [
        policy(name, namespace=namespace, types=both, ingress=ingress, egress=egress)
        for namespace in ("shop", "monitoring")
        for name, ingress, egress in (("deny-all", (), ()), ("allow-all", from_(), to()))
    ]

    assert allowed(evidence(*policies, *more), source, target, *at).verdict == "yes"


@given(policies=POLICIES, rule=INGRESS, source=ENDS, target=ENDS, at=AT)
@settings(max_examples=200)
def test_one_more_rule_never_denies(
    policies: list[NetworkPolicy],
    rule: NetworkPolicyIngressRule,
    source: facts.Subject,
    target: facts.Subject,
    at: tuple[int, str],
):
    """To an end that is isolated already, a policy with one more allowing rule only adds."""
    before = [*policies, policy("deny-all"), policy("deny-all", namespace="monitoring")]
    after = [*before, policy("more", ingress=(rule,)), policy("more", ingress=(rule,), namespace="monitoring")]

    assert (
        ORDER[allowed(evidence(*after), source, target, *at).verdict]
        >= ORDER[allowed(evidence(*before), source, target, *at).verdict]
    )


@given(policies=POLICIES, target=ENDS, at=AT)
@settings(max_examples=100)
def test_pods_of_one_kind_are_answered_alike(policies: list[NetworkPolicy], target: facts.Subject, at: tuple[int, str]):
    """The kind of a pod leaves out only what no policy asks about."""
    twin = pod("web-2", "10.42.1.10", tier="front")
    twin = Pod(
        metadata=ObjectMeta(name="web-2", namespace="shop", labels={"app": "web", "tier": "front", "hash": "2"}),
        spec=twin.spec,
        status=twin.status,
    )
    seen = evidence(*policies, pods=(*PODS, twin))
    index = policy_index(seen)
    other = facts.pod("shop", "web-2")

    assert index.kind_of(WEB) == index.kind_of(other)
    if target != WEB:
        assert allowed(seen, WEB, target, *at) == allowed(seen, other, target, *at)
