"""Messages of other senders, read by the operator's examples."""

import time

import pytest
from pydantic import ValidationError

from bot.alerts.extractors import Extractor, ExtractorError, Template
from bot.alerts.slack_message import is_alert_message, read_message
from bot.settings import AlertExtractorSettings, Settings

ICINGA = Extractor(
    firing=(Template("PROBLEM: {alertname} on {node}"), Template("PROBLEM {namespace}/{pod}: {alertname}")),
    resolved=(Template("RECOVERY: {alertname} on {node}"),),
)


@pytest.mark.parametrize(
    ("text", "status", "labels"),
    [
        ("*PROBLEM: Ping on node-2 is critical*", "firing", {"alertname": "Ping", "node": "node-2"}),
        ("RECOVERY: Ping on node-2", "resolved", {"alertname": "Ping", "node": "node-2"}),
        (
            "at 12:00\nPROBLEM shop/web-0: NoReply (3 times)",
            "firing",
            {"alertname": "NoReply", "namespace": "shop", "pod": "web-0"},
        ),
    ],
)
def test_a_line_that_looks_like_an_example_is_read(text: str, status: str, labels: dict[str, str]) -> None:
    for message in ({"text": text}, {"attachments": [{"text": text}]}):
        found = read_message(message, ICINGA)
        assert found
        assert (found.status, found.labels) == (status, labels)


def test_the_end_is_known_as_the_end_of_the_same() -> None:
    firing = read_message({"text": "PROBLEM: Ping on node-2"}, ICINGA)
    ended = read_message({"text": "RECOVERY: Ping on node-2"}, ICINGA)

    assert firing
    assert ended
    assert firing.fingerprint == ended.fingerprint


@pytest.mark.parametrize("text", ["PROBLEM: Ping", "PROBLEM:  on node-2", "problem: Ping on node-2", "", "lunch?"])
def test_what_does_not_look_so_is_not_about_alerts(text: str) -> None:
    assert read_message({"text": text}, ICINGA) is None


def test_alertmanager_is_read_beside_it() -> None:
    found = read_message({"attachments": [{"fallback": "[FIRING:1] KubePodNotReady shop (web-0 warning)"}]}, ICINGA)

    assert found
    assert found.name == "KubePodNotReady"


def test_it_holds_in_its_own_channel_alone_and_for_programs_alone() -> None:
    event = {"type": "message", "channel": "C0ICINGA", "bot_id": "B1", "text": "PROBLEM: Ping on node-2"}

    assert is_alert_message(event, {"C0ICINGA": ICINGA})
    assert not is_alert_message({**event, "channel": "C0OTHER"}, {"C0ICINGA": ICINGA})
    assert not is_alert_message({**event, "bot_id": ""}, {"C0ICINGA": ICINGA})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("PROBLEM on {node}", "{alertname} is missing"),
        ("{alertname} on {password}", "'password' is no label"),
        ("{alertname} on {node} and {node}", "stands twice"),
        ("{alertname}-{node} down", "between two labels"),
        ("{alertname} {node}", "would fit any line"),
        ("x" * 301 + "{alertname}", "one line of at most"),
    ],
)
def test_a_template_that_cannot_be_is_explained(text: str, why: str) -> None:
    with pytest.raises(ExtractorError, match=why):
        Template(text)
    with pytest.raises(ValidationError, match=why):
        AlertExtractorSettings(firing=(text,))


def test_a_channel_that_is_not_read_is_named() -> None:
    extractors = {"C0OTHER": AlertExtractorSettings(firing=("PROBLEM: {alertname}",))}
    with pytest.raises(ValidationError, match="names C0OTHER"):
        Settings(alert_channels=frozenset({"C0ICINGA"}), alert_channel="C0INCIDENTS", alert_extractors=extractors)


@pytest.mark.parametrize("piece", ["a", "PROBLEM: ", "PROBLEM: a on ", "a/", " on "])
def test_no_message_is_slow_to_read(piece: str) -> None:
    text = piece * (40_000 // len(piece))
    began = time.process_time()
    read_message({"text": text, "attachments": [{"text": text, "fallback": text, "title": text}] * 5}, ICINGA)

    assert time.process_time() - began < 1.0
