import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.report import (
    BlastRadius,
    CauseReport,
    Change,
    Connectivity,
    Coverage,
    FindingReport,
    KnownIssueReport,
    NodeCommands,
    PathHop,
    RemediationReport,
    Report,
    ReportScope,
    Unobserved,
    Verdict,
)
from bot.render.json import encoded, schema
from bot.render.markdown import markdown
from bot.render.terminal import lines


def a_report(**changes: object) -> Report:
    fields: dict[str, object] = {
        "scope": ReportScope(cluster="lab", namespace="seldon-mesh"),
        "started_at": "2026-11-22T02:00:00Z",
        "took_s": 2.14,
        "verdict": Verdict(
            status="broken",
            cause="calico-proxy-arp-off",
            confidence="confirmed",
            hop="gateway",
            summary="The node does not answer ARP for the pods' gateway",
        ),
        "causes": (
            CauseReport(
                id="calico-proxy-arp-off",
                title="Proxy ARP is off",
                confidence="confirmed",
                hop="gateway",
                mechanism="The kernel answers for 169.254.1.1 only with proxy_arp.",
                subjects=("pod seldon-mesh/a", "pod seldon-mesh/b"),
                evidence_for=("proxy_arp is 0 on cali1",),
                look_alikes=("not node-default-route-missing: the oracle finds a route",),
                explains=("gateway-silent pod seldon-mesh/a",),
            ),
            CauseReport(
                id="node-default-route-missing",
                title="No default route",
                confidence="ruled_out",
                hop="node",
                evidence_against=("node-1 has a default route",),
            ),
        ),
        "known_issues": (
            KnownIssueReport(
                id="calico-8689",
                match="ruled_out",
                references=("https://github.com/projectcalico/calico/issues/8689",),
                why=("it heals within two minutes; this pod is 3 h old",),
            ),
        ),
        "findings": (
            FindingReport(
                probe="pod-arp-table",
                subject="pod seldon-mesh/a",
                severity="fail",
                sentence="No answer from 169.254.1.1",
            ),
        ),
        "blast_radius": BlastRadius(nodes=("node-1",), pods=2, services=("seldon-mesh/seldon-scheduler",)),
        "remediations": (
            RemediationReport(
                id="set-proxy-arp",
                risk="r2",
                why="Switch proxy ARP on again",
                commands=("sysctl -w net.ipv4.conf.cali1.proxy_arp=1",),
                undo=("sysctl -w net.ipv4.conf.cali1.proxy_arp=0",),
            ),
        ),
        "coverage": Coverage(
            access="agent",
            nodes_observed=2,
            nodes_total=3,
            pods_observed=5,
            pods_total=7,
            unobserved=(Unobserved(what="node node-3", why="no answer", remedy="kubectl describe node node-3"),),
        ),
        "path": (
            PathHop(name="seldon-mesh/a", state="ok"),
            PathHop(name="169.254.1.1", state="broken", detail="no ARP answer"),
            PathHop(name="node-1", state="unknown"),
        ),
        "next_steps": ("Find who resets it",),
        "cni": "calico",
        "cni_version": "3.30.2",
        "exec_calls": 2,
    }
    return Report(**(fields | changes))  # type: ignore[arg-type]


def on_terminal(report: Report, *, details: bool = False, width: int | None = 100) -> str:
    return "\n".join(line.plain for line in lines(report, details=details, width=width)) + "\n"


def test_the_verdict_fits_one_screen_and_answers_the_five_questions():
    text = on_terminal(a_report())

    assert len(text.splitlines()) <= 40
    assert "BROKEN" in text
    assert "calico-proxy-arp-off (confirmed)" in text
    assert "169.254.1.1" in text
    assert "proxy_arp is 0 on cali1" in text
    assert "2 pods on node-1" in text
    assert "sysctl -w net.ipv4.conf.cali1.proxy_arp=1" in text
    assert "not calico-8689: it heals within two minutes" in text
    assert "node node-3: no answer (would help: kubectl describe node node-3)" in text


def test_commands_in_a_ticket_say_where_they_are_typed():
    command, undo = "ip link set eth0 up", "ip link set eth0 down"
    fix = RemediationReport(
        id="f", risk="r2", why="Set it up", commands=(command,), undo=(undo,),
        at=(NodeCommands(node="node-2", commands=(command,)),),
        undo_at=(NodeCommands(node="node-2", commands=(undo,)),),
        touches="node",
    )  # fmt: skip

    written = markdown(a_report(remediations=(fix,)))

    assert f"- Set it up (touches this node only)\n  - run on node-2: `{command}`" in written
    assert f"  - undo on node-2: `{undo}`" in written


def test_the_broken_hop_is_marked_under_the_drawing():
    lines = on_terminal(a_report()).splitlines()

    drawing = next(line for line in lines if "─✗─" in line)
    mark = lines[lines.index(drawing) + 1]
    assert mark.index("▲") == drawing.index("169.254.1.1")
    assert "no ARP answer" in mark


def test_ruled_out_causes_and_all_findings_appear_with_details_only():
    assert "node-1 has a default route" not in on_terminal(a_report())
    assert "node-1 has a default route" in on_terminal(a_report(), details=True)
    assert "pod-arp-table: No answer from 169.254.1.1" in on_terminal(a_report(), details=True)


def test_text_of_the_cluster_cannot_move_the_cursor_or_format():
    evil = "a\x1b[2Jb[bold red]c\u202e`d`<!channel>\r\n# title"
    report = a_report(
        findings=(FindingReport(probe="p", subject="s", severity="fail", sentence=evil),),
        causes=(),
    )

    text = on_terminal(report, details=True)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "[bold red]" in text  # shown, not obeyed
    written = markdown(report)
    assert "\n# title" not in written
    assert "`d`" not in written


def test_json_follows_the_published_schema():
    decoded = json.loads(encoded(a_report()))

    assert decoded["schema"] == "cnibot.report/v1"
    assert decoded["verdict"]["cause"] == "calico-proxy-arp-off"
    assert decoded["coverage"]["unobserved"][0]["remedy"] == "kubectl describe node node-3"
    required = schema()["$defs"]["Report"]["required"]
    assert set(required) <= set(decoded)


reports = st.from_type(Report)


@settings(max_examples=25, deadline=None)
@given(reports, st.booleans(), st.integers(40, 200))
def test_any_report_can_be_shown_in_every_form(report: Report, details: bool, width: int):  # noqa: FBT001 generated
    text = on_terminal(report, details=details, width=width)
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert markdown(report)
    json.loads(encoded(report))


@pytest.mark.parametrize("status", ["healthy", "inconclusive"])
def test_a_report_without_cause_says_so_plainly(status: str):
    report = a_report(verdict=Verdict(status=status, summary="nothing"), causes=(), remediations=())  # type: ignore[arg-type]

    assert status.upper() in on_terminal(report)
    assert "Cause: none" in markdown(report)


def test_directions_between_nodes_are_shown_where_one_fails_and_all_of_them_with_details():
    ok = Connectivity(source="node-1", target="node-2", state="ok", tested=4, failed=0)
    dead = Connectivity(source="node-2", target="node-1", state="failed", tested=3, failed=3)

    assert "Between nodes" not in on_terminal(a_report(connectivity=(ok,)))
    assert "node-1 to node-2: 4 flows ok" in on_terminal(a_report(connectivity=(ok,)), details=True)
    unexplained = Verdict(status="inconclusive", summary="Something does not work")
    text = on_terminal(a_report(connectivity=(ok, dead), verdict=unexplained))
    assert "node-2 to node-1: 3 of 3 flows failed" in text
    assert "node-1 to node-2" not in text
    assert "- node-2 to node-1: 3 of 3 flows failed" in markdown(a_report(connectivity=(ok, dead)))


def test_changes_are_shown_as_a_lead_and_never_as_proof():
    change = Change(
        at="2026-11-22T01:00:00Z", what="got revision 2", subject="DaemonSet kube-system/cilium", ago_s=3600
    )
    report = a_report(changes=(change,))

    assert "Changed before" not in on_terminal(a_report())
    for text in (on_terminal(report, width=120), markdown(report)):
        assert "Changed before (a lead, not proof" in text
        assert "DaemonSet kube-system/cilium got revision 2: 60 min ago" in text
