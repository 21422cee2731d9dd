"""Rules of a node, and of a pod, against flows that failed and flows that passed."""

from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from bot.agent.iptables_matches import matches_of
from bot.agent.nft_matches import matches_of as nft_matches_of
from bot.agent.nft_text import expression_text
from bot.agent.report import Firewall, FirewallChain, FirewallMatch, FirewallRule, FirewallStep, Link, Route
from bot.cluster.objects import Container, EnvVar
from bot.domain import facts
from bot.domain.finding import Severity
from bot.probes.cluster_ip import PROBE as CLUSTER_IP
from bot.probes.filters.held import Held, held_rules
from bot.probes.filters.naming import loss_in_words, rule_in_words
from tests.probes.build import FakeCluster, facts_of, two_nodes
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


@pytest.mark.parametrize(
    ("condition", "is_warned"),
    [
        (match("limit", "3"), True),
        (match("limit", "5000"), False),
        (match("limit"), False),
        (match("limit", "3", is_inverted=True), False),
        (match("unknown"), False),
    ],
    ids=["beyond a few", "beyond very many", "beyond a number that was not read", "within a few", "anything"],
)
def test_a_limit_that_a_needed_service_may_pass_under_load_is_a_warning_and_no_fault(
    condition: FirewallMatch,
    is_warned: bool,  # noqa: FBT001 a parameter of the test
) -> None:
    cluster, service = needed_service()
    cluster.root("node-2", firewall=guard(match("dport", "9004"), condition))
    table = facts_of(cluster.evidence(), CLUSTER_IP)
    found = CLUSTER_IP.judge(table)

    limits = table.of(service)["crowd_limits"]
    assert isinstance(limits, tuple)
    assert len(limits) == is_warned
    assert (
        len([one for one in found if "beyond a limit" in one.sentence and one.severity is Severity.WARN]) == is_warned
    )
    assert [one for one in found if one.symptom] == []


def test_what_keeps_within_a_limit_is_let_through_and_the_rest_dropped() -> None:
    """`-m limit --limit 2/second -j ACCEPT`, and behind it a drop of all."""
    cluster, service = needed_service()
    port = match("dport", "9004")
    made = guard(port)
    assert made.steps
    within = replace(made.steps[0], matches=(port, match("limit", "2", is_inverted=True)), verdict="accept", text="")
    cluster.root("node-2", firewall=replace(made, steps=(within, *made.steps)))

    assert table_of(cluster, service)["crowd_limits"] != ()


def table_of(cluster: FakeCluster, service: facts.Subject) -> Any:
    return facts_of(cluster.evidence(), CLUSTER_IP).of(service)


def test_a_limit_on_what_nobody_needs_is_not_spoken_of() -> None:
    cluster, service = needed_service(is_configured=False)
    cluster.root("node-2", firewall=guard(match("dport", "9004"), match("limit", "3")))

    assert table_of(cluster, service)["crowd_limits"] == ()


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("-p tcp -m connlimit --connlimit-above 3 --connlimit-mask 32 --connlimit-saddr -j DROP", ("3", False)),
        ("-p tcp -m connlimit --connlimit-upto 3 -j ACCEPT", ("3", True)),
        ("-p tcp -m connlimit ! --connlimit-above 3 -j ACCEPT", ("3", True)),
        ("-m limit --limit 25/min --limit-burst 100 -j ACCEPT", ("1", True)),
        ("-m hashlimit --hashlimit-above 10/sec --hashlimit-name x -j DROP", ("10", False)),
    ],
)
def test_limits_as_iptables_saves_them(text: str, limit: tuple[str, bool]) -> None:
    found = [one for one in matches_of(text) if one.fields != ("proto",)]

    assert [(one.values, one.is_inverted) for one in found] == [((limit[0],), limit[1])]


@pytest.mark.parametrize(
    ("expression", "limit", "text"),
    [
        ({"ct count": {"val": 3, "inv": True}}, ("3", False), "ct count over 3"),
        ({"ct count": {"val": 3}}, ("3", True), "ct count 3"),
        (
            {"limit": {"rate": 2, "burst": 5, "per": "second", "inv": True}},
            ("2", False),
            "limit rate over 2/second",
        ),
        ({"limit": {"rate": 90, "burst": 5, "per": "minute"}}, ("2", True), "limit rate 90/minute"),
    ],
)
def test_limits_as_nft_lists_them(expression: dict[str, Any], limit: tuple[str, bool], text: str) -> None:
    found = list(nft_matches_of(expression, lambda _: None))

    assert [(one.fields, one.values, one.is_inverted) for one in found] == [(("limit",), (limit[0],), limit[1])]
    assert expression_text(expression) == text
