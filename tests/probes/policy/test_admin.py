"""Policies of cluster admins: who decides first, and what is left open."""

from collections.abc import Sequence
from typing import Any, Literal

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from bot.cluster.objects import CustomObject, LabelSelector, Namespace, NetworkPolicy, NetworkPolicySpec, ObjectMeta
from bot.domain import facts
from bot.domain.report import ApiRead, Unobserved
from bot.probes.policy.enforcement import allowed
from bot.probes.policy.evaluation import Allowed
from tests.probes.build import FakeCluster
from tests.probes.policy.test_hidden import plain

API, DB, OTHER = facts.pod("shop", "api"), facts.pod("shop", "db"), facts.pod("argo", "argo")
SHOP = {"matchLabels": {"kubernetes.io/metadata.name": "shop"}}
Tier = Literal["Admin", "Baseline"]


def cluster(cni: Any = "calico") -> FakeCluster:
    made = FakeCluster(cni)
    made.node("node-1")
    made.node("node-2")
    made.pod("shop/api", "node-1", labels={"app": "api"})
    made.pod("shop/db", "node-2", labels={"app": "db"})
    made.pod("argo/argo", "node-1", labels={"app": "argo"})
    names = tuple(Namespace(metadata=ObjectMeta(name=name, labels={"team": name})) for name in ("shop", "argo"))
    made.snapshot_fields |= {"namespaces": names}
    return made


def pods(app: str) -> dict[str, Any]:
    return {"pods": {"namespaceSelector": SHOP, "podSelector": {"matchLabels": {"app": app}}}}


def rule(action: str, peer: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {"action": action, "from": [peer or pods("api")], **fields}


def policy(name: str, *rules: dict[str, Any], priority: int = 10, tier: Tier = "Admin") -> CustomObject:
    """One whose subject is the database."""
    spec = {"tier": tier, "priority": priority, "subject": pods("db"), "ingress": list(rules)}
    return CustomObject(kind="ClusterNetworkPolicy", metadata=ObjectMeta(name=name), spec=spec)


def asked(
    *policies: CustomObject,
    network: Sequence[NetworkPolicy] = (),
    source: Any = API,
    port: int = 5432,
    protocol: str = "TCP",
    made: FakeCluster | None = None,
) -> Allowed:
    made = made or cluster()
    made.snapshot_fields |= {"custom_objects": {"clusternetworkpolicies": policies}, "network_policies": tuple(network)}
    return allowed(made.evidence(), source, DB, port, protocol)


def test_a_denied_flow_names_policy_and_rule():
    answer = asked(policy("deny-db", rule("Pass", pods("web")), rule("Deny", name="db")))

    assert (answer.verdict, answer.hidden) == (
        "no",
        ('ClusterNetworkPolicy deny-db (ingress rule 2 "db", Deny, priority 10)',),
    )
    assert asked(policy("deny-db", rule("Deny")), source=OTHER).verdict == "yes"


@pytest.mark.parametrize(
    ("policies", "network", "verdict"),
    [
        ([policy("a", rule("Accept"))], [plain("argo")], "yes"),
        ([policy("a", rule("Pass"))], [plain("argo")], "no"),
        ([policy("a", rule("Pass"))], [plain("api")], "yes"),
        ([policy("a", rule("Deny"))], [plain("api")], "no"),
        ([policy("a", rule("Deny"), tier="Baseline")], [plain("api")], "yes"),
        ([policy("a", rule("Deny"), tier="Baseline")], [], "no"),
        ([policy("a", rule("Accept"), tier="Baseline")], [plain("argo")], "no"),
        ([policy("a", rule("Pass"), tier="Baseline")], [], "yes"),
        ([policy("a", rule("Pass")), policy("b", rule("Deny"), priority=20)], [], "yes"),
        ([policy("b", rule("Deny"), priority=20), policy("a", rule("Accept"), priority=1)], [], "yes"),
        ([policy("a", rule("Deny")), policy("b", rule("Accept"))], [], "unknown"),
        ([policy("a", rule("Deny")), policy("b", rule("Deny"))], [], "no"),
    ],
    ids=[
        "accept before a NetworkPolicy", "pass to one that denies", "pass to one that allows", "deny before it",
        "a NetworkPolicy before baseline", "baseline where none selects", "baseline is not asked", "baseline passes",
        "pass leaves the tier", "the lower number first", "one priority, two answers", "one priority, one answer",
    ],
)  # fmt: skip
def test_who_decides(policies: Sequence[CustomObject], network: Sequence[NetworkPolicy], verdict: str):
    assert asked(*policies, network=network).verdict == verdict


PORTS: list[tuple[dict[str, Any], int, str, bool | None]] = [
    ({"ports": [{"portNumber": {"protocol": "TCP", "port": 5432}}]}, 5432, "TCP", True),
    ({"ports": [{"portNumber": {"port": 5432}}]}, 5433, "TCP", False),
    ({"ports": [{"portRange": {"protocol": "TCP", "start": 5000, "end": 6000}}]}, 5432, "TCP", True),
    ({"protocols": [{"udp": {"destinationPort": {"number": 5432}}}]}, 5432, "TCP", False),
    ({"protocols": [{"tcp": {"destinationPort": {"range": {"start": 1, "end": 9}}}}]}, 5432, "TCP", False),
    ({"protocols": [{"tcp": {"destinationPort": {"number": 5432}}}]}, 5432, "TCP", True),
    ({"protocols": [{"destinationNamedPort": "pg"}]}, 5432, "TCP", False),
    ({}, 0, "ICMP", True),
    ({"protocols": [{"icmp": {}}]}, 5432, "TCP", None),
    ({"ports": {"list": [{"port": 5432}]}}, 5432, "TCP", None),
]


@pytest.mark.parametrize(("ports", "port", "protocol", "takes"), PORTS)
def test_ports_of_both_versions(ports: dict[str, Any], port: int, protocol: str, *, takes: bool | None):
    verdict = {True: "no", False: "yes", None: "unknown"}[takes]

    assert asked(policy("a", rule("Deny", **ports)), port=port, protocol=protocol).verdict == verdict


@pytest.mark.parametrize(
    ("peer", "takes"),
    [
        ({"namespaces": {}}, True),
        ({"namespaces": {"matchLabels": {"team": "argo"}}}, False),
        ({"networks": ["10.42.1.0/24"]}, True),
        ({"networks": ["192.0.2.0/24"]}, False),
        ({"nodes": {}}, False),
        ({"domainNames": ["example.com"]}, False),
        ({"galaxies": {}}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_peers(peer: dict[str, Any], *, takes: bool | None):
    verdict = {True: "no", False: "yes", None: "unknown"}[takes]

    assert asked(policy("a", {"action": "Deny", "from": [peer]})).verdict == verdict


def test_an_address_block_takes_no_pod_for_certain_under_cilium():
    peer = {"action": "Deny", "from": [{"networks": ["10.42.0.0/16"]}]}

    assert asked(policy("a", peer), made=cluster("cilium")).verdict == "unknown"


@pytest.mark.parametrize(
    "read", [ApiRead(plural="adminnetworkpolicies", group="policy.networking.k8s.io"), ApiRead(path="/apis")]
)
def test_what_was_not_read_leaves_flows_open(read: ApiRead):
    made = cluster()
    made.snapshot_fields |= {"unobserved": (Unobserved(what="policies", why="forbidden", kind="api", reads=(read,)),)}
    answer = asked(made=made)

    assert (answer.verdict, answer.why) == ("unknown", "policies of cluster admins could not be read: forbidden")


def test_a_cluster_without_such_kinds_is_as_it_was():
    made = cluster()
    made.snapshot_fields |= {"network_policies": (plain("api"),)}

    assert allowed(made.evidence(), API, DB, 5432, "TCP").verdict == "yes"
    assert allowed(made.evidence(), OTHER, DB, 5432, "TCP").verdict == "no"


def test_the_kubelet_of_a_pods_own_node_is_let_in():
    made = cluster()
    made.snapshot_fields |= {
        "custom_objects": {"clusternetworkpolicies": (policy("a", rule("Deny", {"namespaces": {}})),)}
    }

    assert allowed(made.evidence(), facts.node("node-2"), DB, 5432, "TCP").verdict == "yes"


def test_a_baseline_admin_policy_stands_behind_network_policies():
    spec: dict[str, Any] = {"subject": {"namespaces": {}}, "ingress": [rule("Deny", {"namespaces": {}})]}
    baseline = CustomObject(kind="BaselineAdminNetworkPolicy", metadata=ObjectMeta(name="default"), spec=spec)
    made = cluster()
    made.snapshot_fields |= {"custom_objects": {"baselineadminnetworkpolicies": (baseline,)}}
    bare = allowed(made.evidence(), API, DB, 5432, "TCP")
    isolated = NetworkPolicy(
        metadata=ObjectMeta(name="open", namespace="shop"),
        spec=NetworkPolicySpec(
            pod_selector=LabelSelector(match_labels={"app": "db"}),
            policy_types=("Ingress",),
            ingress=plain("api").spec.ingress,
        ),
    )
    made.snapshot_fields |= {"network_policies": (isolated,)}

    assert (bare.verdict, bare.hidden) == ("no", ("BaselineAdminNetworkPolicy default (ingress rule 1, Deny)",))
    assert allowed(made.evidence(), API, DB, 5432, "TCP").verdict == "yes"


# Whatever the policies: the first tier, then NetworkPolicies, then the last, held to a reference.

ACTIONS = st.sampled_from(("Accept", "Deny", "Pass"))
TIER = st.lists(st.tuples(st.integers(0, 5), st.lists(st.tuples(ACTIONS, st.booleans()), max_size=3)), max_size=3)


def reference(tier: Sequence[tuple[int, Sequence[tuple[str, bool]]]]) -> str:
    """The first rule that takes the flow, by priority and by the order of rules."""
    ordered = sorted(tier, key=lambda one: one[0])
    return next((action for _, rules in ordered for action, takes in rules if takes), "Pass")


@settings(deadline=None, max_examples=60)
@given(
    first=TIER, last=TIER, network=st.sampled_from(("none", "allows", "denies")),
)  # fmt: skip
def test_the_order_of_tiers(first: Any, last: Any, network: str):
    first, last = ([(at, rules) for at, (_, rules) in enumerate(tier)] for tier in (first, last))
    tiers: tuple[tuple[Tier, Any], ...] = (("Admin", first), ("Baseline", last))
    policies = [
        policy(
            f"{tier}-{at}",
            *(rule(action, pods("api" if takes else "web")) for action, takes in rules),
            priority=at,
            tier=tier,
        )
        for tier, members in tiers
        for at, rules in members
    ]
    word = reference(first)
    if word == "Pass":
        word = {"none": reference(last), "allows": "Accept", "denies": "Deny"}[network]
    plain_ones = {"none": (), "allows": (plain("api"),), "denies": (plain("argo"),)}[network]

    assert asked(*policies, network=plain_ones).verdict == ("no" if word == "Deny" else "yes")
