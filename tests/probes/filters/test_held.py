"""Rules of a node, and of a pod, against flows that failed and flows that passed."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from bot.agent.report import Firewall, FirewallChain, FirewallMatch, FirewallRule, FirewallStep, Link, Route
from bot.cluster.objects import Container, EnvVar
from bot.domain import facts
from bot.probes.filters.held import Held, held_rules
from bot.probes.filters.naming import loss_in_words, rule_in_words
from tests.probes.build import FakeCluster, two_nodes
from tests.probes.services import add_service

NODE_1, NODE_2 = facts.node("node-1"), facts.node("node-2")


def match(field: str, *values: str, is_inverted: bool = False) -> FirewallMatch:
    return FirewallMatch(fields=(field,), values=values, is_inverted=is_inverted)


def guard(*matches: FirewallMatch, verdict: str = "drop", packets: int | None = None, **hook: Any) -> Firewall:
    """One stranger's rule at one hook."""
    values: dict[str, Any] = {"backend": "nft", "family": "inet", "table": "guard", "chain": "c"}
    at: dict[str, Any] = {"hook": "forward", "policy": "accept", "rules": 1}
    values |= {"family": hook.pop("family", "inet")}
    rule = FirewallRule(**values, verdict=verdict, text="the rule", packets=packets, packets_delta=packets)
    step = FirewallStep(**values, matches=matches, verdict=verdict, text="the rule")
    return Firewall(chains=(FirewallChain(**values, **(at | hook)),), drops=(rule,), drops_total=1, steps=(step,))


def only(cluster: FakeCluster, place: facts.Subject) -> Held | None:
    return next(iter(held_rules(cluster.evidence())[place]), None)


@pytest.mark.parametrize(
    ("outcome", "icmp", "verdict", "matches"),
    [
        ("timeout", "", "drop", True),
        ("ok", "", "drop", False),
        ("EHOSTUNREACH", "host-prohibited", "drop", False),
        ("EHOSTUNREACH", "host-prohibited", "reject with icmpx admin-prohibited", True),
        ("timeout", "", "reject with icmp port-unreachable", True),
        ("ECONNREFUSED", "", "reject with tcp reset", True),
        ("ECONNREFUSED", "", "drop", False),
    ],
)
def test_the_outcome_must_be_one_that_the_rule_can_make(outcome: Any, icmp: str, verdict: str, matches: bool) -> None:  # noqa: FBT001
    cluster, a, _, c = two_nodes()
    cluster.root("node-2", firewall=guard(match("dport", "8080"), verdict=verdict))
    cluster.test(a, "remote-pod", to=c, protocol="tcp", port=8080, outcome=outcome, icmp=icmp)

    held = only(cluster, NODE_2)

    assert (held is not None and held.matches) is matches


def test_a_rule_that_takes_what_passes_is_read_wrongly_by_us() -> None:
    cluster, a, b, c = two_nodes()
    cluster.root("node-2", firewall=guard(match("proto", "icmp")))
    cluster.test(a, "remote-pod", to=c, outcome="timeout")
    cluster.test(b, "remote-pod", to=c)

    held = only(cluster, NODE_2)

    assert held
    assert (held.matches, held.may_match) == (False, False)


@pytest.mark.parametrize(("packets", "matches"), [(None, True), (3, True), (0, False)])
def test_a_counter_that_stood_still_acquits(packets: int | None, matches: bool) -> None:  # noqa: FBT001
    cluster, a, _, c = two_nodes()
    cluster.root("node-2", firewall=guard(packets=packets))
    cluster.test(a, "remote-pod", to=c, outcome="timeout")

    held = only(cluster, NODE_2)

    assert held
    assert held.matches is matches


def test_a_rule_against_answers_is_found_where_they_pass() -> None:
    cluster, a, _, c = two_nodes()
    cluster.root(
        "node-2", firewall=guard(match("ctstate", "established"), match("iif", cluster.report_of(c).host_link))
    )
    cluster.test(a, "remote-pod", to=c, outcome="timeout")

    held = only(cluster, NODE_2)

    assert held
    assert held.matches
    assert held.failed[0].startswith("answers to ")
    assert loss_in_words(held).endswith(": the rule, which takes replies only")


def test_a_rule_against_the_tunnel_is_told_apart() -> None:
    cluster, a, _, c = two_nodes()
    tunnel = guard(match("proto", "udp"), match("dport", "4789"), hook="input")
    vxlan = Link(ifindex=90, name="vxlan.calico", kind="vxlan", vxlan_id=4096, vxlan_port=4789, is_up=True)
    way = Route(dst="10.42.1.0/24", via="10.42.1.0", dev="vxlan.calico")
    root = cluster.roots["node-2"]
    cluster.root("node-2", firewall=tunnel, links=(*root.links, vxlan), routes=(*root.routes, way))
    cluster.test(a, "remote-pod", to=c, outcome="timeout")

    held = only(cluster, NODE_2)

    assert held
    assert (held.matches, held.takes_tunnel) == (True, True)


@pytest.mark.parametrize("hook", ["ingress", "egress"])
def test_a_hook_of_a_device_sees_only_what_passes_there(hook: str) -> None:
    cluster, a, b, c = two_nodes()
    device = cluster.report_of(a).host_link
    address = "saddr" if hook == "ingress" else "daddr"
    rule = guard(match(address, cluster.pods[a].status.pod_ip), family="netdev", hook=hook, devices=(device,))
    cluster.root("node-1", firewall=rule)
    cluster.test(a, "remote-pod", to=c, outcome="timeout")
    cluster.test(b, "remote-pod", to=c)

    held = only(cluster, NODE_1)

    assert held
    assert held.matches
    assert rule_in_words(held.taking) == (
        f"netdev/guard/c (hook {hook} on {device}, priority 0, of unknown origin): the rule"
    )


def test_a_policy_in_the_pod_itself() -> None:
    cluster, a, b, c = two_nodes()
    hook = FirewallChain(
        backend="iptables-legacy", family="ip", table="filter", chain="INPUT", hook="input", policy="drop"
    )
    cluster.inside(c, firewall=Firewall(chains=(hook,), steps=()))
    cluster.test(a, "remote-pod", to=c, outcome="timeout")
    cluster.test(a, "local-pod", to=b)

    held = only(cluster, c)

    assert held
    assert held.matches


def test_a_rule_for_others_stays_silent() -> None:
    cluster, a, _, c = two_nodes()
    cluster.root("node-2", firewall=guard(match("proto", "tcp"), match("dport", "23")))
    cluster.test(a, "remote-pod", to=c, outcome="timeout")

    assert only(cluster, NODE_2) is None


LONG, DICE = match("length", "900-"), match("chance")


@pytest.mark.parametrize(
    ("rule", "is_data", "is_reply"),
    [
        (guard(match("dport", "9004"), LONG), True, False),
        (guard(match("sport", "9004"), LONG), True, True),
        (guard(match("dport", "9004"), match("ctstate", "established")), True, False),
        (guard(match("dport", "9004"), DICE), False, False),
        (guard(match("sport", "9004"), DICE), False, True),
        (guard(match("dport", "9004"), LONG, packets=0), True, False),
    ],
)
def test_a_rule_that_takes_what_no_test_sends_of_a_needed_flow(rule: Firewall, is_data: bool, is_reply: bool) -> None:  # noqa: FBT001
    cluster, service = needed_service()
    cluster.root("node-2", firewall=rule)

    held = only(cluster, NODE_2)

    assert held
    assert held.matches
    assert [(one.service, one.is_data, one.is_reply) for one in held.untried] == [(service, is_data, is_reply)]


@pytest.mark.parametrize(
    "rule",
    [
        guard(match("dport", "9004"), match("length", "60000-")),
        guard(match("dport", "9005"), LONG),
        guard(match("dport", "9004"), match("unknown")),
        guard(match("dport", "9004"), LONG, match("unknown")),
    ],
)
def test_a_rule_that_takes_nothing_of_it_or_perhaps_nothing(rule: Firewall) -> None:
    cluster, _ = needed_service()
    cluster.root("node-2", firewall=rule)

    held = only(cluster, NODE_2)

    assert held is None or not held.matches


def test_flows_that_nobody_needs_are_tried_for_contrast_only() -> None:
    cluster, _ = needed_service(is_configured=False)
    cluster.root("node-2", firewall=guard(match("dport", "9004"), LONG))

    assert only(cluster, NODE_2) is None


def test_programs_may_carry_packets_past_a_nodes_rules() -> None:
    cluster, _ = needed_service()
    cluster.root("node-2", firewall=guard(match("dport", "9004"), LONG))
    evidence = cluster.evidence()
    vars(evidence)["cni"] = replace(evidence.cni, kube_proxy_mode="ebpf")

    assert not any(one.matches for one in held_rules(evidence)[NODE_2])


def needed_service(*, is_configured: bool = True) -> tuple[FakeCluster, facts.Subject]:
    """A pod that is configured to dial a Service on the other node, and reached it."""
    cluster, a, _, c = two_nodes()
    service = add_service(cluster, "shop/db", (c,), ip="10.43.51.131", port=9004)
    if is_configured:
        container = Container(env=(EnvVar(name="DB", value="db:9004"),))
        cluster.pods[a] = structs.replace(
            cluster.pods[a], spec=structs.replace(cluster.pods[a].spec, containers=(container,))
        )
    cluster.test(a, "cluster-ip", protocol="tcp", ip="10.43.51.131", port=9004, name="shop/db:9004")
    return cluster, service


@pytest.mark.parametrize(("is_bridged", "matches"), [(True, True), (False, False)])
def test_a_rule_for_what_a_bridge_passes_on_takes_nothing_that_is_routed(is_bridged: bool, matches: bool) -> None:  # noqa: FBT001
    """`-m physdev --physdev-is-bridged`, as hypervisors and hardening write it."""
    cluster, a, b, c = two_nodes("flannel")
    cluster.root("node-1", firewall=guard(match("switched", "yes")))
    cluster.sysctl("node-1", **{"bridge.bridge-nf-call-iptables": "1"})
    cluster.test(a, "local-pod" if is_bridged else "remote-pod", to=b if is_bridged else c, outcome="timeout")

    held = only(cluster, NODE_1)

    assert (held is not None and held.matches) is matches
