"""Policy chains that drop what policies allow, told from those that do their work."""

from dataclasses import replace

import pytest

from bot.agent.report import Firewall, FirewallRule, NetfilterProgram, Outcome
from bot.agent.traced import NodeTrace, PacketDrop, TraceFlow
from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes import network_policies
from tests.probes.build import FakeCluster, facts_of, two_nodes


def dropped(cluster: FakeCluster) -> object:
    return facts_of(cluster.evidence(), network_policies.PROBE).of(facts.node("node-1")).get("policy_drops_allowed")


def with_drop(cluster: FakeCluster, chain: str, text: str = "counter drop", delta: int = 4) -> None:
    rule = FirewallRule(
        backend="nft",
        family="ip",
        table="calico",
        chain=chain,
        verdict="drop",
        text=text,
        packets=9,
        packets_delta=delta,
    )
    cluster.root("node-1", firewall=Firewall(drops=(rule,), drops_total=1))


def asked(local: Outcome = "timeout") -> tuple[FakeCluster, Subject]:
    """shop/c of node-1 asked by a pod of its own node and by one of the other."""
    cluster, a, b, _ = two_nodes()
    target = cluster.pod("shop/target", "node-1")
    cluster.test(a, "local-pod", to=target, outcome=local)
    cluster.test(b, "remote-pod", to=target, outcome="timeout")
    return cluster, target


def test_a_drop_in_the_chain_of_a_pod_that_loses_all_it_may_receive():
    cluster, target = asked()
    with_drop(cluster, f"filter-cali-tw-{cluster.report_of(target).host_link}")

    assert dropped(cluster) == ("shop/target",)


def test_a_controller_that_names_the_pod_in_a_comment():
    cluster, target = asked()
    with_drop(
        cluster, "cali-tw-other", f'counter drop comment "dropped for {cluster.pods[target].metadata.name} ingress"'
    )

    assert dropped(cluster) == ("shop/target",)


@pytest.mark.parametrize(
    ("chain", "delta", "local"),
    [
        ("filter-cali-tw-other", 4, "timeout"),  # another pod's chain
        ("filter-cali-tw-{link}", 0, "timeout"),  # nothing was dropped there
        ("filter-cali-tw-{link}", 4, "ok"),  # a neighbour gets through: the way to other nodes is broken
        ("KUBE-POD-FW-{link}", 4, "timeout"),  # left over from another controller
    ],
)
def test_other_drops_are_no_stale_policy(chain: str, delta: int, local: Outcome):
    cluster, target = asked(local)
    with_drop(cluster, chain.format(link=cluster.report_of(target).host_link), delta=delta)

    assert dropped(cluster) == ()


@pytest.mark.parametrize(("hops", "blamed"), [("1", ()), ("64", ("shop/target",))])
def test_answers_that_run_out_of_hops_are_no_policys_doing(hops: str, blamed: tuple[str, ...]):
    cluster, target = asked()
    cluster.inside(target, sysctls={"ipv4.ip_default_ttl": hops})
    with_drop(cluster, f"filter-cali-tw-{cluster.report_of(target).host_link}")

    assert dropped(cluster) == blamed


@pytest.mark.parametrize(("answers", "blamed"), [((None, None, None), ()), ((None, 0.2, 0.1), ("shop/target",))])
def test_what_a_pod_without_a_gateway_loses_is_no_policys_doing(
    answers: tuple[float | None, ...], blamed: tuple[str, ...]
):
    cluster, target = asked()
    cluster.answers(target, *answers)
    with_drop(cluster, f"filter-cali-tw-{cluster.report_of(target).host_link}")

    assert dropped(cluster) == blamed


@pytest.mark.parametrize("programs", [(), (NetfilterProgram(family=4, hook="forward", priority=0, number=7),)])
def test_what_a_program_dropped_by_the_kernels_word_is_no_policys_doing(programs: tuple[NetfilterProgram, ...]):
    cluster, target = asked()
    with_drop(cluster, f"filter-cali-tw-{cluster.report_of(target).host_link}")
    flow = TraceFlow(
        number=1, node="node-1", source="uid-a", ip="10.42.1.12", protocol="udp", addresses=(), count=17, first_port=9
    )
    drop = PacketDrop(
        flow=1, netns="node", reason="NETFILTER_DROP", symbol="nf_hook_slow", hook="forward", count=17, dst="10.42.1.12"
    )
    evidence = cluster.evidence(traced=(flow,), traces={"node-1": NodeTrace(instrument="bpf", drops=(drop,))})
    report = replace(evidence.reports["node-1"], netfilter_programs=programs)

    evidence = replace(evidence, reports={**evidence.reports, "node-1": report})

    known = facts_of(evidence, network_policies.PROBE).of(facts.node("node-1"))
    assert known.get("policy_drops_allowed") == (() if programs else ("shop/target",))
