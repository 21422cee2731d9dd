"""What people must be told, view by view."""

from dataclasses import replace
from typing import Any

import pytest

from bot.domain.authorization import Decision
from bot.domain.report import CauseReport, KnownIssueReport, RemediationReport, Report
from bot.incidents.knowledge import load_knowledge
from bot.incidents.request import Progress
from bot.slack import views
from bot.slack.commands import USAGE
from bot.slack.views import ids
from bot.slack.views.answers import COMMANDS
from bot.slack.views.words import condensed
from tests.slack.views.goldens import INCIDENT, RUN, report
from tests.slack.views.limits import problems_of_message, problems_of_view, texts_of


def verdict_of(**changes: Any) -> str:
    return views.verdict(replace(report("one-cause"), **changes), **RUN).text


@pytest.mark.parametrize("name", ["one-cause", "two-causes", "degraded", "inconclusive", "nothing-seen", "healthy"])
def test_real_verdicts_are_one_screen(name: str) -> None:
    content = views.verdict(report(name), **RUN)

    assert len(content.blocks) <= 11
    assert len(content.text) <= 3_400
    assert problems_of_message(content) == []
    assert problems_of_view(views.details_modal(report(name), **RUN)) == []


def test_the_buttons_carry_incident_and_run() -> None:
    *_, buttons = views.verdict(report("healthy"), **RUN).blocks

    assert [each["action_id"] for each in buttons["elements"]] == [ids.DETAILS, ids.RERUN, ids.SHARE, ids.NOT_IT]
    assert {each["value"] for each in buttons["elements"]} == {"inc-0123abcd:1"}
    assert ids.parse_run("inc-0123abcd:1") == ("inc-0123abcd", 1)
    assert ids.parse_run("inc-0123abcd:1; x") is None
    assert ids.parse_namespace(ids.namespace_value("prod/eu", "shop")) == ("prod/eu", "shop")


def test_a_popular_issue_that_is_ruled_out_is_not_hidden_behind_possible_ones() -> None:
    possible = tuple(KnownIssueReport(id=f"calico-{number}", match="possible") for number in range(9))
    blamed = KnownIssueReport(
        id="calico-8689", match="ruled_out", references=("projectcalico/calico#8689",), why=("it heals by itself",)
    )

    text = verdict_of(known_issues=(*possible, blamed))

    assert "|calico-8689> *ruled out*: it heals by itself" in text
    assert "… and 6 more in Details" in text


def test_no_hop_is_called_ok_when_no_node_was_looked_at() -> None:
    text = views.verdict(report("degraded"), **RUN).text

    assert "`node` _not looked at_ → `kube-system/kube-dns` *✗ BROKEN HERE*" in text


def test_a_command_is_shown_whole_or_not_at_all() -> None:
    long = "iptables " + "x" * 600
    text = verdict_of(remediations=(RemediationReport(id="f", risk="r2", why="Do it", commands=("true", long)),))

    assert "```\ntrue\n# and 1 more: see Details\n```" in text
    assert "_(touches one node, reversible)_" in text


def test_every_command_of_a_long_fix_is_in_the_details() -> None:
    commands = tuple(f"sysctl -w net.ipv4.conf.cali{number}.proxy_arp=1" for number in range(64))
    fixed = replace(
        report("one-cause"), remediations=(RemediationReport(id="f", risk="r2", why="Do it", commands=commands),)
    )

    shown = "\n".join(texts_of(views.details_modal(fixed, **RUN)["blocks"]))

    assert [command for command in commands if command not in shown] == []


def test_unexplained_symptoms_bring_their_candidates() -> None:
    known = report("one-cause")
    other = CauseReport(
        id="overlay-blocked-by-underlay", title="The tunnel is blocked", confidence="possible", hop="underlay"
    )

    text = verdict_of(causes=(*known.causes, other))

    assert "*Also possible, not proven*\n• `overlay-blocked-by-underlay`: The tunnel is blocked (possible)" in text


def test_details_count_what_has_no_room() -> None:
    known = report("one-cause")
    many = replace(known, findings=known.findings * 100)

    view = views.details_modal(many, **RUN)

    assert problems_of_view(view) == []
    assert any("more: *Share report* has them all" in text for text in texts_of(view["blocks"]))


def test_the_evidence_file_counts_what_has_no_room() -> None:
    known = report("one-cause")

    _, content = views.evidence_file(replace(known, findings=known.findings * 1_000))

    assert b"(left out for want of room: " in content


def test_long_lists_of_subjects_become_one_of_the_namespace_asked_about() -> None:
    sentence = "pod a/x, pod shop/y, pod c/z and 3 more: the gateway is silent"

    assert condensed(sentence, "shop") == "pod shop/y and 5 more: the gateway is silent"
    assert condensed("node n: and forwarding is off") == "node n: forwarding is off"
    assert condensed("nothing named: at all") == "nothing named: at all"


def test_progress_of_a_thousand_nodes_shows_the_failed_ones() -> None:
    steps = [
        Progress(stage="node", state="done", subject=f"node-{number}", sentence="8 pods") for number in range(1_000)
    ]
    steps[3] = replace(steps[3], state="failed", sentence="no answer")

    content = views.progress(INCIDENT, steps, elapsed_s=9.6)

    assert "✗ node-3 *failed*: no answer" in content.text
    assert "✓ node-999: 8 pods" in content.text
    assert "10 s, 1000 of 1000 steps done" in content.text
    assert problems_of_message(content) == []


def test_progress_ends_with_the_word_of_the_verdict() -> None:
    content = views.progress(replace(INCIDENT, status="broken"), [], elapsed_s=2.0)

    assert content.text.startswith("🔴 *BROKEN*: diagnosed `seldon-mesh` on `prod-eu`.")


def test_only_names_that_a_namespace_can_have_become_buttons() -> None:
    nearest = ("shop", "Shop", "../x", "shop-2", "a", "b", "c", "d")

    *_, buttons = views.unknown_namespace("shpo", nearest, "prod").blocks

    assert [each["value"] for each in buttons["elements"]] == ["prod/shop", "prod/shop-2", "prod/a", "prod/b", "prod/c"]
    assert "[" not in views.unknown_namespace("x", (), "prod").text
    assert len(views.unknown_namespace("x", (), "prod").blocks) == 1


def test_every_command_is_explained() -> None:
    assert [usage.partition(" ")[0] for usage in USAGE] == list(COMMANDS)


def test_all_that_is_known_can_be_listed_and_shown() -> None:
    knowledge = load_knowledge()

    listed = views.known_issue_list(knowledge.known_issues)
    assert problems_of_message(listed) == []
    assert [issue.id for issue in knowledge.known_issues if f"`{issue.id}`" not in listed.text] == []
    assert problems_of_message(views.playbook_list(knowledge.playbooks)) == []
    for issue in knowledge.known_issues:
        content = views.known_issue(issue)
        assert problems_of_message(content) == [], issue.id
        assert issue.id in content.text


def test_a_refused_person_sees_nothing_of_the_clusters_in_the_home() -> None:
    model = views.HomeModel(
        user_id="U0CAROL",
        status=views.StatusModel(version="1", open_incidents=1),
        incidents=(INCIDENT,),
        refusal=Decision(allowed=False, reason="Guests may not use cnibot."),
    )

    shown = "\n".join(texts_of(views.home(model)["blocks"]))

    assert "Guests may not use cnibot." in shown
    assert "seldon-mesh" not in shown


def test_a_report_without_anything_is_still_a_message() -> None:
    empty = replace(report("healthy"), findings=(), verdict=replace(report("healthy").verdict, summary=""))

    assert isinstance(empty, Report)
    assert views.verdict(empty, **RUN).text.startswith("*🟢 HEALTHY: seldon-mesh*")
