"""Messages as people read them: `golden/`. `python -m tests.slack.views.goldens` renews them: read them then."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from bot.diagnosis.knowledge import load_knowledge
from bot.diagnosis.request import Progress
from bot.domain.authorization import Action, Decision
from bot.domain.checks import Check
from bot.domain.errors import ForbiddenError
from bot.domain.incident import Incident, IncidentStatus, Watch
from bot.domain.outgoing import Content
from bot.domain.report import Report
from bot.domain.software import Software
from bot.slack import views
from bot.slack.views import notices
from tests.slack.views.limits import texts_of

HERE = Path(__file__).parent
RUN: Mapping[str, Any] = {"incident_id": "inc-0123abcd", "run": 1}

INCIDENT = Incident(
    id="inc-0123abcd",
    cluster="prod-eu",
    namespace="seldon-mesh",
    channel="C0INCIDENTS",
    root_key="k",
    opened_at=1_790_000_000.0,
    opened_by="U0ALICE",
    run=2,
    updated_at=1_790_000_060.0,
)
STATUS = views.StatusModel(
    version="0.1.0",
    connections="2 of 2 connections",
    running=1,
    open_incidents=2,
    checks=(
        Check(name="Slack", says="workspace Acme, as @cni"),
        Check(
            name="Cluster prod-us",
            state="failed",
            problem="The API server https://10.0.0.1:6443 refuses connections: does it run, and is its address right?",
            remedy="Check its address in the kubeconfig.",
        ),
    ),
    watches=(Watch(cluster="prod-eu", namespace="shop", channel="C0ALERTS", by="U0BOB", since=1.79e9),),
)


def report(name: str) -> Report:
    """A report that a diagnosis of the lab came to."""
    return msgspec.json.decode((HERE / "reports" / f"{name}.json").read_bytes(), type=Report)


def _verdict(name: str) -> Callable[[], str]:
    return lambda: of_message(views.verdict(report(name), **RUN))


def _progress() -> Content:
    steps = [
        Progress(stage="api", state="done", sentence="23 pods, 3 nodes, 12 Services"),
        Progress(stage="access", state="done", sentence="node agents may run"),
        Progress(stage="node", state="done", subject="node-1", sentence="8 pods, 31 tests, 1.4 s"),
        Progress(stage="node", state="failed", subject="node-2", sentence="no answer from node-2 within 30 s"),
        Progress(stage="node", state="started", subject="node-3", sentence="7 pods"),
    ]
    return views.progress(INCIDENT, steps, elapsed_s=31.4)


def _home() -> Mapping[str, Any]:
    model = views.HomeModel(
        user_id="U0ALICE",
        status=STATUS,
        incidents=(INCIDENT,),
        permalinks={INCIDENT.id: "https://acme.slack.com/archives/C0INCIDENTS/p1"},
        actions=(Action.READ, Action.DIAGNOSE),
        now=1_790_000_100.0,
    )
    return views.home(model)


def _root(status: IncidentStatus, **changes: Any) -> Callable[[], str]:
    return lambda: of_message(notices.root(_standing(status, **changes), cluster_shown=True))


def _standing(status: IncidentStatus, **changes: Any) -> Incident:
    headline = "node-2: proxy ARP is off, 8 pods have no gateway"
    stands: dict[str, Any] = {
        "status": status,
        "headline": headline,
        "was": headline,
        "cause": "calico-proxy-arp-off",
        "place": "node-2",
        "found_run": 1,
        "pods": 8 if status == "broken" else 0,
        "namespaces": 7 if status == "broken" else 1,
        "took_s": 3.2,
        "asked_by": "U0ALICE",
        "updated_at": INCIDENT.opened_at + 840,
    }
    return replace(INCIDENT, **(stands | changes))


def _same_fault() -> list[Incident]:
    """Asked about in three namespaces, one fault."""
    return [_standing("broken", id=f"inc-{name}", namespace=name) for name in ("shop", "mlflow", "seldon-mesh")]


def of_message(content: Content) -> str:
    """The text, and the labels of the buttons."""
    labels = [text for block in content.blocks if block["type"] == "actions" for text in texts_of(block)]
    return "\n\n".join([content.text, *("[" + "] [".join(labels) + "]" for _ in labels[:1])]) + "\n"


def of_view(view: Mapping[str, Any]) -> str:
    """Block after block."""
    return "\n\n".join(texts_of(view["blocks"])) + "\n"


def _affected_versions() -> str:
    issues = {issue.id: issue for issue in load_knowledge().known_issues}
    found = [issues[name] for name in ("calico-10648", "calico-11099")]
    software = Software(cni="calico", cni_version="3.30.2")
    return of_message(views.affected_versions("prod-eu", software, found))


def _known_issue() -> str:
    issues = {issue.id: issue for issue in load_knowledge().known_issues}
    return of_message(views.known_issue(issues["calico-8689"]))


CASES: Mapping[str, Callable[[], str]] = {
    "verdict-one-cause": _verdict("one-cause"),
    "verdict-two-causes": _verdict("two-causes"),
    "verdict-degraded": _verdict("degraded"),
    "verdict-inconclusive": _verdict("inconclusive"),
    "verdict-nothing-seen": _verdict("nothing-seen"),
    "verdict-healthy": _verdict("healthy"),
    "verdict-path-mtu": _verdict("path-mtu"),
    "root-broken": _root("broken", run=1),
    "root-broken-again": _root("broken", run=2),
    "root-closed": _root("closed", run=3),
    "same-fault": lambda: of_message(
        views.same_fault(report("one-cause"), link_to="https://acme.slack.com/archives/C0INCIDENTS/p1", **RUN)
    ),
    "details": lambda: of_view(views.details_modal(report("one-cause"), **RUN)),
    "not-it": lambda: of_view(views.not_it_modal("inc-0123abcd", 1, "calico-proxy-arp-off")),
    "shared": lambda: of_message(
        views.shared(report("one-cause"), by="U0ALICE", permalink="https://acme.slack.com/archives/C0INCIDENTS/p1")
    ),
    "opening": lambda: of_message(views.opening(INCIDENT, asked_by="U0ALICE", cluster_shown=True)),
    "progress": lambda: of_message(_progress()),
    "failed": lambda: of_message(views.failed(ForbiddenError("list", "pods", "seldon-mesh"), INCIDENT)),
    "help": lambda: of_message(views.help_((Action.READ, Action.DIAGNOSE))),
    "status": lambda: of_message(views.status(STATUS)),
    "incidents-of-one-fault": lambda: of_message(
        views.incident_list(
            _same_fault(), {"inc-shop": "https://acme.slack.com/1", "inc-mlflow": "https://acme.slack.com/2"}
        )
    ),
    "incidents": lambda: of_message(views.incident_list([INCIDENT], {INCIDENT.id: "https://acme.slack.com/p1"})),
    "known-issue": _known_issue,
    "affected-versions": _affected_versions,
    "refused": lambda: of_message(
        views.refused(
            Decision(
                allowed=False,
                action=Action.DIAGNOSE,
                reason="You are not among those who may ask for a diagnosis in this namespace.",
                who_may=("U0ALICE", "S0SRE"),
            )
        )
    ),
    "unknown-namespace": lambda: of_message(
        views.unknown_namespace("seldon-mehs", ("seldon-mesh", "seldon-system"), "prod-eu")
    ),
    "watch": lambda: of_message(views.watch_changed("shop", "prod-eu", by="U0BOB", is_watched=True, every_s=900)),
    "home": lambda: of_view(_home()),
}


def write() -> None:
    """Every file anew."""
    for name, made in CASES.items():
        (HERE / "golden" / f"{name}.txt").write_text(made(), encoding="utf-8")


if __name__ == "__main__":
    write()
