"""What drops at a hook of netfilter beside rules: a full connection tracking table, programs that no table shows."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import Conntrack, Firewall, Missing, NetfilterProgram
from bot.agent.traced import CounterMove, Refusals, RuleMove
from bot.domain import facts
from bot.probes.filters.held import held_rules
from bot.probes.packet_trace import PROBE
from bot.probes.packet_trace.fate import Fate, fates
from tests.probes.build import facts_of
from tests.probes.test_packet_trace import PORT_80, guard, rule
from tests.probes.traced import N, Traced

HOOKED = NetfilterProgram(family=4, hook="forward", priority=7, number=12, name="catcher")
OTHER = replace(HOOKED, number=13, name="sd_fw")
UNKNOWN_PLACE = "in a network namespace that the kernel does not tell"
CATCHER = f"netfilter program catcher id 12 (hook forward, priority 7, of unknown origin, {UNKNOWN_PLACE})"
SYSTEMD = f"netfilter program sd_fw id 13 (hook forward, priority 7, of systemd, {UNKNOWN_PLACE})"
GUARD = "ip/guard/c (hook {}, priority 0, of unknown origin): "
TABLE = "the connection tracking table of node-1, which is "
TIMES = "conntrack.drop"
MARKED = rule("meta mark 1 drop", mark="0x1")


def dropped(hook: str = "forward", symbol: str = "nf_hook_slow", family: str = "") -> Traced:
    """Packets that die at a hook of node-1."""
    traced = Traced().saw("node-1", "a:eth0>", "cali1<")
    traced.died("node-1", "NETFILTER_DROP", symbol, "cali1", hook=hook, family=family)
    traced.cluster.root("node-1", firewall=Firewall(steps=()))
    return traced


def fate_of(traced: Traced, **changes: Any) -> Fate:
    """With other fields of node-1's report."""
    evidence = traced.evidence()
    report = replace(evidence.reports["node-1"], **changes)
    (found,) = fates(replace(evidence, reports={**evidence.reports, "node-1": report}))
    return found


@pytest.mark.parametrize(
    ("programs", "culprit"),
    [
        ((HOOKED,), CATCHER),
        ((HOOKED, OTHER), f"one of: {CATCHER}; {SYSTEMD}"),
        ((replace(HOOKED, hook="input"), OTHER), SYSTEMD),
        ((replace(HOOKED, family=6),), ""),
        ((), ""),
        (None, ""),
    ],
    ids=["one", "two", "one elsewhere", "for IPv6", "none", "not read"],
)
def test_a_program_on_the_hook_where_no_rule_drops(programs: Any, culprit: str) -> None:
    assert fate_of(dropped(), netfilter_programs=programs).culprit == culprit


@pytest.mark.parametrize(
    ("rules", "culprit"),
    [
        (PORT_80, f"{GUARD.format('forward')}tcp dport 80 drop"),
        (MARKED, f"one of: {GUARD.format('forward')}meta mark 1 drop; {CATCHER}"),
        (rule("udp dport 80 drop", proto="udp"), CATCHER),
    ],
    ids=["a rule that surely does", "a rule that may", "a rule for others"],
)
def test_a_program_beside_a_rule(rules: Any, culprit: str) -> None:
    traced = dropped()
    traced.cluster.root("node-1", firewall=guard(*rules))

    assert fate_of(traced, netfilter_programs=(HOOKED,)).culprit == culprit


@pytest.mark.parametrize(("programs", "is_proof"), [((), True), ((HOOKED,), False)])
def test_a_rule_that_may_have_done_it_is_a_proof_only_without_a_program(
    programs: tuple[NetfilterProgram, ...],
    is_proof: bool,  # noqa: FBT001
) -> None:
    traced = dropped()
    traced.cluster.root("node-1", firewall=guard(*MARKED))
    evidence = traced.evidence()
    report = replace(evidence.reports["node-1"], netfilter_programs=programs)

    held = held_rules(replace(evidence, reports={**evidence.reports, "node-1": report}))

    assert any(one.is_traced for one in held[facts.node("node-1")]) is is_proof


def test_a_rule_whose_counter_moved_by_as_many_leaves_none_for_programs() -> None:
    traced = dropped()
    moved = RuleMove(family="ip", table="raw", chain="PREROUTING", text="-m rpfilter --invert -j DROP", packets=N)
    traced.fields["node-1"] = {"rules": (moved,)}

    found = fate_of(traced, netfilter_programs=(HOOKED,))

    assert found.culprit == "ip/raw/PREROUTING: -m rpfilter --invert -j DROP"


@pytest.mark.parametrize(
    ("firewall", "missing"),
    [
        (None, ()),
        (replace(guard(*PORT_80), steps=None), ()),
        (Firewall(), (Missing(what="root.firewall.nft", why="nft took too long"),)),
    ],
    ids=["rules were not read", "too many rules", "a part of the rules was not read"],
)
def test_programs_are_not_accused_of_what_an_unread_rule_may_have_done(
    firewall: Firewall | None, missing: tuple[Missing, ...]
) -> None:
    traced = dropped()
    traced.cluster.root("node-1", firewall=firewall)

    assert fate_of(traced, netfilter_programs=(HOOKED,), missing=missing).culprit == ""


def test_where_programs_were_not_read_that_is_said_of_a_drop_that_nothing_explains() -> None:
    missing = (Missing(what="netfilter_programs", why="Operation not permitted"),)
    unread = "whether a BPF program is on that hook was not read (Operation not permitted)"

    assert fate_of(dropped(), missing=missing).reason.endswith(f" at cali1 of node-1; {unread}")
    assert "not read" not in fate_of(dropped(), netfilter_programs=()).reason
    assert "not read" not in fate_of(dropped(symbol="nft_do_chain", family="ip"), missing=missing).reason


@pytest.mark.parametrize(
    ("rules", "programs", "named"),
    [
        ((), (HOOKED,), (CATCHER,)),
        ((), (HOOKED, OTHER), (CATCHER, SYSTEMD)),
        (PORT_80, (HOOKED,), ()),
        (MARKED, (HOOKED,), ()),
        ((), (), ()),
        ((), None, None),
    ],
    ids=["alone", "two", "beside a rule", "beside a rule that may have done it", "none", "not read"],
)
def test_only_programs_that_are_left_alone_are_a_fact_for_causes(rules: Any, programs: Any, named: Any) -> None:
    traced = dropped()
    traced.cluster.root("node-1", firewall=guard(*rules))
    evidence = traced.evidence()
    report = replace(evidence.reports["node-1"], netfilter_programs=programs)

    known = facts_of(replace(evidence, reports={**evidence.reports, "node-1": report}), PROBE)

    assert known.of(facts.node("node-1")).get("traced_programs") == named
    assert known.of(facts.node("node-2"))["traced_programs"] == ()


def test_programs_are_not_accused_of_what_nftables_did() -> None:
    assert fate_of(dropped(symbol="nft_do_chain", family="inet"), netfilter_programs=(HOOKED,)).culprit == ""


def refused(count: int, netns: str = "node") -> dict[str, Any]:
    return {"refusals": (Refusals(netns=netns, name=TIMES, count=count),)}


@pytest.mark.parametrize(
    ("hook", "traced", "table", "culprit"),
    [
        ("prerouting", refused(N), Conntrack(count=100, max=100), f"{TABLE}full (100 of 100)"),
        ("prerouting", refused(40 * N), Conntrack(count=5, max=100), f"{TABLE}full or does not take them"),
        (
            "output",
            {"counters": (CounterMove(flow=1, netns="node", name=TIMES),)},
            None,
            f"{TABLE}full or does not take them",
        ),
        ("prerouting", refused(N - 1), Conntrack(count=100, max=100), ""),
        ("prerouting", refused(N, "uid-a"), Conntrack(count=100, max=100), ""),
        ("prerouting", {"counters": (CounterMove(flow=1, netns="uid-b", name=TIMES),)}, None, ""),
        ("forward", refused(N), Conntrack(count=100, max=100), ""),
    ],
    ids=[
        "full",
        "with those of others",
        "just as many, by an older agent",
        "too few",
        "a pod's",
        "a pod's, just as many",
        "where nobody looks for connections",
    ],
)
def test_a_connection_tracking_table_that_takes_no_more(
    hook: str, traced: dict[str, Any], table: Conntrack | None, culprit: str
) -> None:
    series = dropped(hook)
    series.fields["node-1"] = traced

    assert fate_of(series, conntrack=table).culprit == culprit


def test_a_rule_that_surely_drops_is_named_though_the_table_refuses_others() -> None:
    series = dropped("prerouting")
    series.cluster.root("node-1", firewall=guard(*PORT_80, hook="prerouting"))
    series.fields["node-1"] = refused(3 * N)

    assert fate_of(series).culprit == f"{GUARD.format('prerouting')}tcp dport 80 drop"


def test_a_table_and_a_rule_that_may_have_done_it_are_candidates() -> None:
    series = dropped("prerouting")
    series.cluster.root("node-1", firewall=guard(*MARKED, hook="prerouting"))
    series.fields["node-1"] = refused(N)

    culprit = fate_of(series, netfilter_programs=(replace(HOOKED, hook="prerouting"),)).culprit

    assert culprit == f"one of: {GUARD.format('prerouting')}meta mark 1 drop; {TABLE}full or does not take them"
