"""What people must be told, view by view."""

from dataclasses import replace
from typing import Any

import pytest

from bot.diagnosis.knowledge import load_knowledge
from bot.diagnosis.request import Progress
from bot.domain.authorization import Decision
from bot.domain.report import (
    BlastRadius,
    CauseReport,
    KnownIssueReport,
    NextStep,
    NodeCommands,
    RemediationReport,
    Report,
    Statement,
    Trace,
    Verdict,
)
from bot.slack import views
from bot.slack.commands import USAGE
from bot.slack.views import ids
from bot.slack.views.answers import COMMANDS
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

    details, rerun, menu = buttons["elements"]
    assert [details["action_id"], rerun["action_id"], menu["action_id"]] == [ids.DETAILS, ids.RERUN, ids.MORE]
    assert {details["value"], rerun["value"]} == {"inc-0123abcd:1"}
    picked = [ids.parse_option(option["value"]) for option in menu["options"]]
    assert picked == [(ids.SHARE, "inc-0123abcd:1"), (ids.NOT_IT, "inc-0123abcd:1")]
    assert ids.parse_run("inc-0123abcd:1") == ("inc-0123abcd", 1)
    assert ids.parse_run("inc-0123abcd:1; x") is None
    assert ids.parse_namespace(ids.namespace_value("prod/eu", "shop")) == ("prod/eu", "shop")


def test_a_popular_issue_that_is_ruled_out_is_not_hidden_behind_possible_ones() -> None:
    possible = tuple(KnownIssueReport(id=f"calico-{number}", match="possible") for number in range(9))
    blamed = KnownIssueReport(
        id="calico-8689", match="ruled_out", references=("projectcalico/calico#8689",), why=("it heals by itself",)
    )

    text = verdict_of(known_issues=(*possible, blamed))

    assert "*Not* <https://github.com/projectcalico/calico/issues/8689|calico-8689>: it heals" in text
    assert "calico-3" not in text


def test_what_follows_from_the_cause_is_no_second_one() -> None:
    follows = tuple(
        Statement(subjects=(f"service {name}",), text="no endpoint is ready")
        for name in ("mlflow/postgres", "shop/web", "shop/api")
    )

    text = verdict_of(follows=follows)

    assert "*Follows from it:* Service mlflow/postgres: no endpoint is ready; Service shop/web: no endpoint" in text
    assert "and 1 more" in text
    assert "Besides" not in text


def test_a_cause_without_evidence_to_show_is_named_all_the_same() -> None:
    cause = replace(report("one-cause").causes[0], supporting=())

    assert f"*Why:* {cause.title} (confirmed)" in verdict_of(causes=(cause,))


def test_no_hop_is_called_ok_when_no_node_was_looked_at() -> None:
    shown = "\n".join(texts_of(views.details_modal(report("degraded"), **RUN)["blocks"]))

    assert "`pod` _not known_ → `kube-system/kube-dns` _not known_ → `DNS pods` *✗ BROKEN HERE*" in shown


def fix(*commands: str, node: str = "node-2", **more: Any) -> RemediationReport:
    at = (NodeCommands(node=node, commands=commands),) if commands else ()
    return RemediationReport(id="f", risk="r2", why="Do it", commands=commands, at=at, **more)


def test_a_command_is_shown_whole_or_not_at_all() -> None:
    long = "iptables " + "x" * 600
    text = verdict_of(remediations=(fix("true", long),))

    assert "*Do now* on *node-2*. Touches this node only. Do it.\n```\ntrue\n# all 2 in Details\n```" in text


def test_equal_commands_that_differ_in_one_word_are_one_loop() -> None:
    text = verdict_of(remediations=(fix(*(f"sysctl -w net.ipv4.conf.cali{n}.proxy_arp=1" for n in range(3))),))

    assert "for i in cali0 cali1 cali2; do\n  sysctl -w net.ipv4.conf.$i.proxy_arp=1\ndone" in text


def test_of_very_many_different_commands_the_first_three_are_shown() -> None:
    text = verdict_of(remediations=(fix(*(f"do {n} {n}" for n in range(40))),))

    assert "do 2 2\n# all 40 in Details\n```" in text
    assert "do 3 3" not in text


def test_commands_say_on_which_node_they_are_typed() -> None:
    at = tuple(NodeCommands(node=node, commands=("nft list ruleset",)) for node in ("node-1", "node-2"))
    at += (NodeCommands(node="node-3", commands=("nft flush ruleset",)),)
    text = verdict_of(remediations=(RemediationReport(id="f", risk="r2", why="Do it", at=at),))

    assert "Touches these 3 nodes only." in text
    assert "on *node-1 and node-2*\n```\nnft list ruleset\n```\non *node-3*" in text


def test_what_a_person_must_decide_and_why_there_is_no_command_are_said() -> None:
    assert "_You decide:_ The address of the router." in verdict_of(
        remediations=(fix("x", decide="the address of the router"),)
    )
    assert "_No command:_ It is changed in the cloud." in verdict_of(
        remediations=(fix(no_command="it is changed in the cloud"),)
    )


@pytest.mark.parametrize("name", ["one-cause", "two-causes", "degraded", "inconclusive", "path-mtu", "healthy"])
def test_the_heading_fits_a_lock_screen(name: str) -> None:
    header, *_ = views.verdict(report(name), **RUN).blocks

    assert header["type"] == "header"
    assert len(header["text"]["text"]) <= 90


def test_who_is_affected_adds_up() -> None:
    radius = report("one-cause").blast_radius

    assert radius.pods == radius.cut_off + radius.waiting
    assert "and 7 more pods on node-2 have no gateway. 5 pods elsewhere do not reach them" in verdict_of()


@pytest.mark.parametrize(("waiting", "verb"), [(1, "1 pod lacks answers of"), (4, "4 pods lack answers of")])
def test_who_gets_no_answers_of_dns_may_reach_it_all_the_same(waiting: int, verb: str) -> None:
    """Names of the cluster resolve while those outside do not."""
    whole = report("one-cause")
    radius = BlastRadius(pods=waiting, waiting=waiting, services=("kube-system/kube-dns",))
    verdict = replace(whole.verdict, hop="dns")

    assert f"*Who:* {verb} kube-system/kube-dns." in verdict_of(verdict=verdict, blast_radius=radius, connectivity=())


def test_since_is_known_from_the_last_healthy_run() -> None:
    content = views.verdict(report("one-cause"), **RUN, healthy_at=1_790_000_000.0)

    assert "*Since:* between <!date^1790000000^" in content.text
    assert "(healthy) and <!date^" in content.text
    assert "*Since:* 8 pods lost readiness at <!date^" in verdict_of()
    assert "*Since:* not known; first seen" in verdict_of(since=None)


def test_a_doubted_verdict_says_so_first() -> None:
    content = views.verdict(report("one-cause"), **RUN, doubted_by=("U0ALICE",))

    assert "*Doubted by* <@U0ALICE>" in content.blocks[1]["text"]["text"]


def test_every_command_of_a_long_fix_is_in_the_details() -> None:
    commands = tuple(f"sysctl -w net.ipv4.conf.cali{number}.proxy_arp=1" for number in range(64))
    fixed = replace(
        report("one-cause"), remediations=(fix(*(f"{command} # {at}" for at, command in enumerate(commands))),)
    )

    shown = "\n".join(texts_of(views.details_modal(fixed, **RUN)["blocks"]))

    assert [command for command in commands if command not in shown] == []


def test_a_command_stands_in_the_details_once_with_its_node_and_so_does_what_undoes_it() -> None:
    at = tuple(NodeCommands(node=node, commands=(f"ip link set {node} up",)) for node in ("node-1", "node-2"))
    undo_at = tuple(NodeCommands(node=node, commands=(f"ip link set {node} down",)) for node in ("node-1", "node-2"))
    commands, undo = (tuple(command for one in places for command in one.commands) for places in (at, undo_at))
    placed = RemediationReport(
        id="f", risk="r2", why="Do it", commands=commands, undo=undo, at=at, undo_at=undo_at
    )  # fmt: skip
    details = views.details_modal(replace(report("one-cause"), remediations=(placed,)), **RUN)

    shown = "\n".join(texts_of(details["blocks"]))

    assert [shown.count(command) for command in (*commands, *undo)] == [1, 1, 1, 1]
    assert "on *node-2*\n```\nip link set node-2 up\n```" in shown
    assert "on *node-1*\n```\nip link set node-1 down\n```" in shown


def test_another_fix_is_named_by_what_it_does_names_as_they_are() -> None:
    others = [
        RemediationReport(id="restart-calico-node", risk="r2", why="Restart calico-node on node-2; Felix writes again"),
        RemediationReport(id="delete", risk="r2", why="Delete the entry on node-1 (02:42) and have it written again"),
    ]

    assert "*Or:* restart calico-node on node-2; delete the entry on node-1 (see Details)" in verdict_of(
        remediations=(fix("true"), *others)
    )


def test_a_place_where_packets_die_is_told_where_no_cause_is_known() -> None:
    says = "All 3 packets of a to b were last seen on node-1, in eth0."
    lost = Trace(flow="a to b", source="pod shop/a", lost=3, sent=3, sentence=says)
    verdict = Verdict(status="inconclusive", hop="node", summary="x", headline="node-1: a has no route")
    content = views.verdict(replace(report("inconclusive"), verdict=verdict, trace=(lost,)), **RUN)

    assert "*Probe packets*\n• All 3 packets of a to b were last seen on node-1" in content.text


def test_unexplained_symptoms_bring_their_candidates() -> None:
    known = report("one-cause")
    other = CauseReport(
        id="overlay-blocked-by-underlay", title="The tunnel is blocked", confidence="possible", hop="underlay"
    )

    text = verdict_of(causes=(*known.causes, other))

    assert "*Also possible, not proven*\n• The tunnel is blocked" in text


def test_details_count_what_has_no_room() -> None:
    known = report("one-cause")
    many = replace(known, findings=known.findings * 100)

    view = views.details_modal(many, **RUN)

    assert problems_of_view(view) == []
    assert any("more: *Share report* has them all" in text for text in texts_of(view["blocks"]))


def test_the_evidence_file_counts_what_has_no_room() -> None:
    known = report("one-cause")

    _, content = views.evidence_file(replace(known, findings=known.findings * 1_000))

    assert b"(left out to save space: " in content


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
    assert views.verdict(empty, **RUN).text.startswith("*🟢 HEALTHY seldon-mesh*")


def test_a_secret_at_the_beginning_of_a_fix_is_struck_out_before_it_becomes_a_sentence() -> None:
    secret = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    leaky = RemediationReport(id="f", risk="r2", why=secret, no_command=secret)

    assert "eyJzdWIiOiIxIn0" not in verdict_of(remediations=(leaky,), steps=(NextStep(text=secret),))
