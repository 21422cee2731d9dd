"""Incidents with everything in them, for tests of what is made of them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import msgspec

from bot.domain.incident import Incident, TimelineEvent
from bot.domain.report import Connectivity, FindingReport, PathHop, Report
from bot.incidents.chronicle import Chronicle
from bot.store.alerts import AlertsOf, IncidentAlert

_REPORT = Path(__file__).parents[1] / "slack/views/reports/degraded.json"
AT = 1_796_000_000.0


def a_report(*, nodes: int = 3) -> Report:
    """A fault, with a matrix and a way."""
    read = msgspec.convert(json.loads(_REPORT.read_text(encoding="utf-8")), Report)
    names = [f"node-{number}" for number in range(1, nodes + 1)]
    pairs = tuple(
        Connectivity(source=one, target=other, state="failed" if other == "node-2" else "ok", tested=4, failed=4)
        for one in names
        for other in names
        if one != other
    )
    way = (
        PathHop(name="pod shop/a", state="ok"),
        PathHop(name="gateway 169.254.1.1", state="broken", detail="no answer to ARP"),
        PathHop(name="node-2", state="unknown"),
    )
    return dataclasses.replace(read, connectivity=pairs, path=way)


def a_chronicle(report: Report | None = None, *, text: str = "restarted calico-node by hand") -> Chronicle:
    """An open incident of one alert, with a note of this text."""
    report = report or a_report()
    incident = Incident(
        id="inc-0a1b2c3d", cluster="lab", namespace="shop", channel="C1", root_key="r", opened_at=AT, opened_by="alert",
        status="degraded", headline=text, cause=report.verdict.cause, run=1, updated_at=AT + 9, assignee="U0BOB",
    )  # fmt: skip
    alert = IncidentAlert(
        fingerprint="f", name="KubePodNotReady", severity="warning", status="firing", subject="pod shop/a",
        since=AT, first_at=AT,
    )  # fmt: skip
    events = (
        TimelineEvent(at=AT, kind="opened", by="alert"),
        TimelineEvent(at=AT + 5, kind="note", text=text, by="U0ALICE"),
    )
    return Chronicle(
        incident=incident, phase="diagnosed", timeline=events, alerts=AlertsOf(alerts=(alert,)), plans=(),
        report=report, found=report,
    )  # fmt: skip


def hostile(report: Report, text: str) -> Report:
    """With this text wherever the cluster has a say."""
    finding = FindingReport(probe="p", subject=text, severity="fail", sentence=text)
    verdict = dataclasses.replace(report.verdict, summary=text)
    way = (PathHop(name=text, state="broken", detail=text),)
    return dataclasses.replace(report, verdict=verdict, findings=(finding,), path=way)
