"""Ways out of the cluster, without accusing clusters that have none."""

import pytest

from bot.agent.report import EgressNat
from bot.cluster.objects import ConfigMap, LabelSelector, NetworkPolicy, NetworkPolicySpec, ObjectMeta
from bot.domain import facts
from bot.domain.finding import Severity, SymptomKind
from bot.probes.outside import PROBE, judge
from tests.probes.build import facts_of, sentences, two_nodes

NODE, OTHER = facts.node("node-1"), facts.node("node-2")


def test_everybody_gets_out() -> None:
    cluster, a, _, _ = two_nodes()
    for source in (NODE, OTHER, a):
        cluster.test(source, "outside")

    known = facts_of(cluster.evidence(), PROBE)

    assert (known.of(NODE)["reach_outside"], known.of(NODE)["pods_reach_outside"]) == ("ok", "ok")
    assert known.of(a)["reach_outside"] == "ok"
    assert sentences(judge(known)) == ["The outside is reached from 2 nodes (node-1, node-2)."]


def test_a_node_that_alone_does_not_get_out() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.test(NODE, "outside", outcome="ENETUNREACH")
    cluster.test(a, "outside", outcome="timeout")
    cluster.test(OTHER, "outside")

    failures = [each for each in judge(facts_of(cluster.evidence(), PROBE)) if each.severity is Severity.FAIL]

    assert sentences(failures) == [
        "Node node-1 does not reach the outside, which others do: a test got ENETUNREACH (no route)."
    ]
    assert failures[0].symptom is not None
    assert (failures[0].symptom.kind, failures[0].symptom.subject) == (SymptomKind.OUTSIDE_UNREACHABLE, NODE)


def test_pods_that_do_not_get_out_though_their_node_does() -> None:
    cluster, a, b, _ = two_nodes()
    cluster.test(NODE, "outside")
    for pod in (a, b):
        cluster.test(pod, "outside", outcome="timeout")

    known = facts_of(cluster.evidence(), PROBE)
    failures = [each for each in judge(known) if each.severity is Severity.FAIL]

    assert known.of(NODE)["pods_reach_outside"] == "timeout"
    assert sentences(failures) == [
        "From both pods on node-1 (shop/a, shop/b) the outside is not reached: a test got no answer."
    ]
    assert failures[0].symptom is not None
    assert [flow.source for flow in failures[0].symptom.flows] == [a, b]


def test_where_nobody_gets_out_nobody_is_accused() -> None:
    cluster, a, _, _ = two_nodes()
    for source in (NODE, OTHER, a):
        cluster.test(source, "outside", outcome="timeout")

    assert [(each.severity, each.sentence) for each in judge(facts_of(cluster.evidence(), PROBE))] == [
        (
            Severity.INFO,
            "None of those that tried (node-1, node-2) reaches the outside, as in a cluster without Internet access.",
        )
    ]


def test_a_pod_with_egress_policies_may_rightly_stay_inside() -> None:
    cluster, a, _, _ = two_nodes()
    policy = NetworkPolicy(
        metadata=ObjectMeta(name="stay", namespace="shop"),
        spec=NetworkPolicySpec(pod_selector=LabelSelector(), policy_types=("Egress",)),
    )
    cluster.snapshot_fields = {"network_policies": (policy,)}
    cluster.test(NODE, "outside")
    cluster.test(a, "outside", outcome="timeout")

    known = facts_of(cluster.evidence(), PROBE)

    assert known.why_unobserved(a, "reach_outside") == "NetworkPolicies restrict what it may reach"
    assert sentences(judge(known), Severity.FAIL) == []


@pytest.mark.parametrize(
    ("config", "state"),
    [
        ({"enable-ipv4-masquerade": "true", "enable-bpf-masquerade": "true"}, None),
        ({"enable-ipv4-masquerade": "true"}, "missing"),
        (None, None),  # not read: it may be told to
    ],
)
def test_cilium_translates_addresses_by_rules_unless_it_is_told_to_use_programs(
    config: dict[str, str] | None, state: str | None
) -> None:
    cluster = two_nodes("cilium")[0]
    cluster.node_report("node-1", egress_nat=(EgressNat(pod="uid-a", dst="192.0.2.53", is_translated=False),))
    named = ObjectMeta(namespace="kube-system", name="cilium-config")
    if config is not None:
        cluster.snapshot_fields["config_maps"] = (ConfigMap(metadata=named, data=config),)

    known = facts_of(cluster.evidence(), PROBE)

    assert known.of(NODE).get("egress_nat") == state
