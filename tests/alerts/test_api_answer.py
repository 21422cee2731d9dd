"""What Alertmanager's API lists."""

from __future__ import annotations

import json

import pytest

from bot.alerts.api_answer import NotAnAnswerError, read_alerts

LISTED = {
    "annotations": {"summary": "x"},
    "endsAt": "2026-11-29T23:36:02.113Z",
    "fingerprint": "0B1C2d3e4f506172",
    "receivers": [{"name": "cnibot"}],
    "startsAt": "2026-11-29T23:31:02.113Z",
    "status": {"inhibitedBy": [], "silencedBy": ["a"], "state": "suppressed"},
    "updatedAt": "2026-11-29T23:32:02.113Z",
    "generatorURL": "http://prometheus/graph",
    "labels": {"alertname": "KubePodNotReady", "namespace": "shop", "pod": "a"},
}


def test_an_alert_with_all_its_labels() -> None:
    (found,) = read_alerts(json.dumps([LISTED]).encode())

    alert = found.alert
    assert (alert.name, alert.status, alert.starts_at) == ("KubePodNotReady", "firing", "2026-11-29T23:31:02.113Z")
    assert alert.ends_at == "", "until then Alertmanager believes it, whether it fires or not"
    assert alert.fingerprint == "0b1c2d3e4f506172"
    assert not found.is_active


@pytest.mark.parametrize("body", [b"", b"{}", b'{"code": 401}', b'[{"labels": {}}]', b"\xff", b"<html>"])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(NotAnAnswerError, match="no answer of Alertmanager's API"):
        read_alerts(body)
