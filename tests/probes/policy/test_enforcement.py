"""What packets show of policies: a denied connection that is answered proves that nobody enforces them there."""

from dataclasses import replace

import pytest

from bot.agent.report import Firewall, FirewallRule
from bot.domain.facts import CLUSTER, Subject, pair
from bot.domain.finding import Severity
from bot.probes import network_policies, pod_matrix
from bot.probes.policy.enforcement import allowed, enforces_policy
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes
from tests.probes.test_network_policies import policy


def closed(cluster: FakeCluster) -> None:
    """Every pod of the namespace is isolated for ingress, nobody is let in."""
    cluster.snapshot_fields["network_policies"] = (policy("deny-all"),)


def dialled(cluster: FakeCluster, source: Subject, target: Subject, *, passes: bool) -> None:
    purpose = (
        "local-pod" if cluster.pods[source].spec.node_name == cluster.pods[target].spec.node_name else "remote-pod"
    )
    cluster.test(source, purpose, to=target, protocol="tcp", port=8080, outcome="ok" if passes else "timeout")


def denies(cluster: FakeCluster, source: Subject, target: Subject) -> bool:
    return allowed(cluster.evidence(), source, target, 8080, "tcp").is_denied


@pytest.mark.parametrize("known", [None, True, False])
def test_without_a_denied_connection_that_passes_the_presumption_holds(*, known: bool | None):
    cluster, a, _, c = two_nodes("flannel")
    cluster.enforces_policy = known
    closed(cluster)
    dialled(cluster, a, c, passes=False)

    assert enforces_policy(cluster.evidence()) is known
    assert denies(cluster, a, c) is (known is not False)


@pytest.mark.parametrize(
    ("chain", "is_enforced"),
    [("KUBE-POD-FW-OUT-225FA0E14A26F12F", True), ("cali-tw-cali123", False), ("guard", False)],
    ids=["kube-router's, who may stand beside it", "what Calico left behind", "a stranger's"],
)
def test_rules_of_an_enforcer_beside_a_cni_that_is_none_show_that_policies_hold(chain: str, *, is_enforced: bool):
    cluster, a, _, c = two_nodes("flannel")
    cluster.enforces_policy = False
    closed(cluster)
    dialled(cluster, a, c, passes=False)
    rule = FirewallRule(backend="nft", family="ip", table="filter", chain=chain, verdict="reject", text="reject")
    cluster.roots["node-1"] = replace(cluster.roots["node-1"], firewall=Firewall(drops=(rule,)))

    assert enforces_policy(cluster.evidence()) is is_enforced
    assert denies(cluster, a, c) is is_enforced


def test_one_denied_connection_that_passes_between_nodes_decides_where_nothing_is_known():
    cluster, a, b, c = two_nodes("flannel")
    cluster.enforces_policy = None
    closed(cluster)
    dialled(cluster, a, c, passes=True)
    dialled(cluster, c, b, passes=False)

    assert enforces_policy(cluster.evidence()) is False
    assert not denies(cluster, c, b)
    known = facts_of(cluster.evidence(), pod_matrix.PROBE)
    assert known.of(pair("node-2", "node-1"))["flows_denied"] == 0


def test_within_a_node_it_speaks_of_flows_within_nodes_alone():
    cluster, a, b, c = two_nodes("flannel")
    cluster.enforces_policy = None
    closed(cluster)
    dialled(cluster, a, b, passes=True)

    assert enforces_policy(cluster.evidence()) is None
    assert not denies(cluster, b, a)
    assert denies(cluster, a, c)


def test_where_the_cni_enforces_it_speaks_of_the_end_that_should_have_stopped_it():
    cluster, a, b, c = two_nodes("calico")
    closed(cluster)
    dialled(cluster, a, c, passes=True)

    assert enforces_policy(cluster.evidence()) is True
    assert not denies(cluster, b, c)
    assert denies(cluster, c, a)


def test_an_echo_that_is_answered_shows_nothing():
    cluster, a, _, c = two_nodes("flannel")
    cluster.enforces_policy = None
    closed(cluster)
    cluster.test(a, "remote-pod", to=c, protocol="icmp")

    assert enforces_policy(cluster.evidence()) is None
    assert denies(cluster, a, c)


@pytest.mark.parametrize(
    ("known", "by"),
    [
        (True, "Policies that deny a connection do not stop it: {}."),
        (None, "NetworkPolicies are not enforced here: the existing ones have no effect ({})."),
    ],
)
def test_a_denied_connection_that_passes_is_told(*, known: bool | None, by: str):
    cluster, a, _, c = two_nodes("flannel")
    cluster.enforces_policy = known
    closed(cluster)
    dialled(cluster, a, c, passes=True)

    table = facts_of(cluster.evidence(), network_policies.PROBE)

    passed = "shop/a reaches shop/c on TCP 8080 in spite of shop/deny-all"
    assert table.of(CLUSTER)["denied_but_passed"] == (passed,)
    assert sentences(list(network_policies.PROBE.judge(table)), Severity.WARN) == [by.format(passed)]
