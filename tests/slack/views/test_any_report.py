"""Whatever a cluster says: every message fits, pings nobody, shows no secret, and its text says what the blocks say."""

import json
import re
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from bot.diagnosis.request import Progress
from bot.domain.errors import ForbiddenError, UnknownPodError
from bot.domain.incident import Incident
from bot.domain.report import Report
from bot.render.marks import STATUS_WORDS
from bot.slack import views
from tests.slack.views.limits import problems_of_message, problems_of_view, texts_of
from tests.slack.views.values import SECRETS, anything, reports, texts

many = settings(
    max_examples=40,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # texts of 10,000 characters take minutes to shrink
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)


MOST_BLOCKS = 15
"""Heading, buttons, and every part once: whatever else there is to tell makes parts longer, never more of them."""


def shows_a_secret(text: str) -> list[str]:
    return [secret for secret in SECRETS.values() if secret in text]


@many
@given(reports)
def test_any_verdict_fits(report: Report) -> None:
    content = views.verdict(report, incident_id="inc-0123abcd", run=3)

    assert problems_of_message(content) == []
    assert len(content.blocks) <= MOST_BLOCKS
    assert not shows_a_secret(content.text + json.dumps(content.blocks))


@many
@given(reports)
def test_the_text_of_any_verdict_says_what_its_blocks_say(report: Report) -> None:
    content = views.verdict(report, incident_id="inc-0123abcd", run=3)

    shown = [block for block in content.blocks if block["type"] != "actions"]
    assert len(shown) == len(content.blocks) - 1
    assert STATUS_WORDS[report.verdict.status] in content.text
    for block in shown:
        if block["type"] != "header":
            for text in texts_of(block):
                assert text in content.text


@many
@given(reports)
def test_any_details_fit_one_window(report: Report) -> None:
    view = views.details_modal(report, incident_id="inc-0123abcd", run=3)

    assert problems_of_view(view) == []
    assert not shows_a_secret(json.dumps(view))


@settings(many, max_examples=10)
@given(reports)
def test_any_report_is_a_file_without_secrets(report: Report) -> None:
    name, content = views.evidence_file(report)

    assert re.fullmatch(r"cnibot-[A-Za-z0-9-]+\.md", name)
    assert len(content) <= 1_000_000
    assert not shows_a_secret(content.decode())


@settings(many, max_examples=20)
@given(reports, texts, texts)
def test_any_report_can_be_shared(report: Report, by: str, permalink: str) -> None:
    content = views.shared(report, by=by, permalink=permalink)

    assert problems_of_message(content) == []
    assert not shows_a_secret(content.text + json.dumps(content.blocks))


@settings(many, max_examples=25)
@given(anything(Incident), st.lists(anything(Progress), max_size=60), texts, st.floats(0, 1e6))
def test_any_thread_can_begin_go_on_and_fail(
    incident: Incident, steps: list[Progress], by: str, elapsed_s: float
) -> None:
    errors = (ForbiddenError("get", by, by, why=by), UnknownPodError(by, by, [by] * 50))
    contents = [
        views.opening(incident, asked_by=by, cluster_shown=True),
        views.progress(incident, steps, elapsed_s=elapsed_s),
        *(views.failed(error, incident) for error in errors),
        views.incident_list([incident] * 60, {incident.id: by}),
    ]

    for content in contents:
        assert problems_of_message(content) == []
        assert not shows_a_secret(content.text + json.dumps(content.blocks))


@settings(many, max_examples=25)
@given(texts, st.lists(texts, max_size=9), texts)
def test_any_name_can_be_unknown(asked: str, nearest: list[str], cluster: str) -> None:
    assert problems_of_message(views.unknown_namespace(asked, [*nearest, "shop"], cluster)) == []
    assert problems_of_view(views.problem_modal(asked)) == []
    assert problems_of_view(views.not_it_modal("inc-0123abcd", 1, asked)) == []
    for is_watched in (True, False):
        content = views.watch_changed(asked, cluster, by=cluster, is_watched=is_watched)
        assert problems_of_message(content) == []


@settings(many, max_examples=25)
@given(anything(views.HomeModel), anything(views.StatusModel))
def test_any_state_of_the_bot_can_be_shown(model: views.HomeModel, status: views.StatusModel) -> None:
    home: dict[str, Any] = views.home(model)

    assert problems_of_view(home) == []
    assert problems_of_message(views.status(status)) == []
    assert not shows_a_secret(json.dumps(home) + views.status(status).text)
