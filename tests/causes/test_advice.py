"""Honest advice: safest first, and no new CNI for what a sysctl, a route or a restart cures; the report says so."""

import re
from dataclasses import replace
from functools import cache

import pytest

from bot.causes.cause import Cause
from bot.causes.differential import differentiate
from bot.causes.loading import load_causes
from bot.diagnosis.verdict import next_steps
from bot.domain.report import Verdict
from bot.probes.catalogue import FACTS
from bot.rules.source import data_directory
from tests.causes.cluster_facts import Fixture, changed, fixtures, subject, table

ALL = fixtures()
REPLACING = re.compile(
    r"(replac|chang|switch|exchang)\w* (of )?(the |your |to )?(another )?cni\b|reinstall the cni\b"
    r"|migrat\w* to (cilium|calico|flannel)|(helm|kubectl) (install|apply|delete|uninstall)\b.*(cilium|calico|flannel)",
    re.IGNORECASE,
)


@cache
def causes() -> tuple[Cause, ...]:
    return load_causes([data_directory() / "causes"], FACTS.values())


@pytest.mark.parametrize("cause", causes(), ids=lambda one: one.id)
def test_every_cause_says_why_the_cni_stays(cause: Cause) -> None:
    assert re.match(r"Do not replace the CNI( again)?(:| before) \w", cause.never)


@pytest.mark.parametrize("cause", causes(), ids=lambda one: one.id)
def test_fixes_are_offered_and_the_safest_comes_first(cause: Cause) -> None:
    risks = [fix.risk for fix in cause.fixes]

    assert risks
    assert risks == sorted(risks)


@pytest.mark.parametrize("fixture", ALL, ids=repr)
def test_no_report_offers_another_cni_and_says_why(fixture: Fixture) -> None:
    """What is offered at the evidence of each fault, and what is said about the CNI."""
    differential = differentiate(causes(), fixture.facts, fixture.symptoms)
    leading = differential.selected[0]
    assert leading.confidence.value != "ruled_out"
    decided = Verdict(status="broken", cause=leading.id, confidence=leading.confidence.value)

    offered = [text for one in differential.selected for fix in one.fixes for text in (fix.why, *fix.commands)]
    steps = next_steps(differential, decided)

    assert offered
    assert [text for text in (*offered, *leading.then) if REPLACING.search(text)] == []
    assert leading.never in [step.text for step in steps if step.is_warning]


@pytest.mark.parametrize("fixture", ALL, ids=repr)
def test_what_is_known_fills_the_commands(fixture: Fixture) -> None:
    """Pasted as they are: what is left to a person says so, and has no name of ours in it."""
    for fix in differentiate(causes(), fixture.facts, fixture.symptoms).selected[0].fixes:
        assert bool(fix.commands) is not bool(fix.no_command)
        assert "is not known" not in fix.no_command.partition("(")[0] or "which pod or package" in fix.no_command
        assert bool(fix.decide) is any(re.search(r"<\w", command) for command in (*fix.commands, *fix.undo))


def test_a_command_that_lacks_a_value_is_not_written_and_says_which() -> None:
    fixture = next(one for one in ALL if one.name == "calico-proxy-arp-off")
    unseen = changed(fixture.values, {"pod shop/a": {"own_dev": None}})
    restart, other = differentiate(causes(), table(unseen), fixture.symptoms).selected[0].fixes

    assert restart.commands == ("kubectl -n kube-system delete pod cni-1",), "what can be pasted comes first"
    assert (other.commands, other.undo) == ((), ()), "nothing is undone that nobody could type"
    assert other.no_command == "pod.own_dev of pod shop/a is not known"


def test_where_it_is_known_why_a_value_is_missing_the_reason_is_said_and_no_name_of_ours() -> None:
    fixture = next(one for one in ALL if one.name == "calico-proxy-arp-off")
    unseen = table(changed(fixture.values, {"pod shop/a": {"own_dev": None}}))
    why = {subject("pod shop/a"): {"own_dev": "the node has no route to it"}}
    reported = replace(unseen, unobserved=why)

    assert differentiate(causes(), reported, fixture.symptoms).selected[0].fixes[-1].no_command == (
        "the node has no route to it"
    )


def test_a_command_about_the_receiving_node_is_typed_there() -> None:
    fixture = next(one for one in ALL if one.name == "fdb-entry-wrong")
    units = {f"node {name}": {"cni_agent_restart": "systemctl restart k3s-agent"} for name in ("node-1", "node-2")}
    fix = differentiate(causes(), table(changed(fixture.values, units)), fixture.symptoms).selected[0].fixes[0]

    assert {one.node for one in fix.at} == {"node-1", "node-2"}


@pytest.mark.parametrize(
    ("cause", "owner", "offered"),
    [
        ("cni-plugin-missing", "own", ["reinstall-plugins"]),
        ("cni-plugin-missing", "reference", ["reinstall-plugins"]),
        ("cni-plugin-missing", "foreign", ["repair-chained-plugin"]),
        ("cni-unauthorized", "own", ["restart-cni-agent"]),
        ("cni-unauthorized", "foreign", ["renew-other-plugins-token"]),
        ("cni-trusts-another-ca", "meta", ["rewrite-other-kubeconfig"]),
        ("cni-unauthorized", None, []),
    ],
)
def test_what_is_offered_depends_on_whose_plugin_it_is(cause: str, owner: str | None, offered: list[str]) -> None:
    """Restarting the CNI's own pod brings no binary and no token back that a mesh has put there."""
    fixture = next(one for one in ALL if one.name == cause)
    whose = {"sandbox_plugin": "istio-cni", "sandbox_plugin_owner": owner}
    differential = differentiate(causes(), table(changed(fixture.values, {"pod shop/a": whose})), fixture.symptoms)

    assert [fix.id for fix in differential.selected[0].fixes] == offered


@pytest.mark.parametrize(
    "advice",
    [
        "replace the CNI",
        "Switch to another CNI",
        "migrate to Cilium",
        "helm install cilium cilium/cilium",
        "Changing CNI",
    ],
)
def test_the_pattern_knows_such_advice(advice: str) -> None:
    assert REPLACING.search(advice)
