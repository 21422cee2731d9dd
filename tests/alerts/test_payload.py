"""Alertmanager's webhook payload: what is read, what is cut, what is refused."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.payload import (
    MAX_ANNOTATION,
    MAX_LABEL_NAME,
    MAX_LABEL_VALUE,
    MAX_LABELS,
    NotAPayloadError,
    read_notification,
)

FIRING: dict[str, Any] = {
    "status": "firing",
    "labels": {"alertname": "KubeNodeNotReady", "node": "hive-04", "severity": "Warning"},
    "annotations": {"summary": "Node is not ready."},
    "startsAt": "2026-11-29T23:31:02.113Z",
    "endsAt": "0001-01-01T00:00:00Z",
    "generatorURL": "http://prometheus:9090/graph?g0.expr=up",
    "fingerprint": "7ef0d02a7ea1c4d8",
}
PAYLOAD: dict[str, Any] = {
    "version": "4",
    "groupKey": '{}:{namespace="shop"}',
    "truncatedAlerts": 3,
    "receiver": r"cni\.bot",
    "status": "firing",
    "notification_reason": "first notification",
    "routeLabels": {},
    "groupLabels": {"namespace": "shop"},
    "commonLabels": {},
    "commonAnnotations": {},
    "externalURL": "http://alertmanager-1:9093",
    "alerts": [FIRING],
}


def encoded(**changes: object) -> bytes:
    return json.dumps({**PAYLOAD, **changes}).encode()


def test_a_payload_as_alertmanager_sends_it() -> None:
    found = read_notification(encoded())

    (alert,) = found.alerts
    assert (found.receiver, found.truncated, found.group_key) == ("cni.bot", 3, '{}:{namespace="shop"}')
    assert (alert.name, alert.severity, alert.status) == ("KubeNodeNotReady", "warning", "firing")
    assert (alert.fingerprint, alert.starts_at) == ("7ef0d02a7ea1c4d8", "2026-11-29T23:31:02.113Z")
    assert alert.ends_at == ""  # Go's zero time


def test_fields_of_later_versions_are_allowed() -> None:
    later = {**FIRING, "values": None, "valueString": "", "tenant": {"id": 7}}

    assert read_notification(encoded(alerts=[later], orgId=1)).alerts == read_notification(encoded()).alerts


def test_fields_that_older_versions_lack_may_be_missing() -> None:
    (alert,) = read_notification(json.dumps({"alerts": [{"status": "firing", "labels": {"a": "b"}}]}).encode()).alerts

    assert (alert.labels, alert.starts_at, alert.annotations) == ({"a": "b"}, "", {})


def test_an_alert_without_fingerprint_gets_one_of_its_labels() -> None:
    def fingerprint(labels: dict[str, str]) -> str:
        (alert,) = read_notification(encoded(alerts=[{"status": "firing", "labels": labels}])).alerts
        return alert.fingerprint

    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert fingerprint({"a": "1", "b": "2"}) != fingerprint({"a": "1", "b": "3"})
    assert fingerprint({"a": "1;1:b=1:2"}) != fingerprint({"a": "1", "b": "2"})


def test_what_is_too_long_is_cut_and_not_refused() -> None:
    labels = {"zone": "z" * 10_000, "n" * 1_000: "v", "alertname": "A", **{f"l{n:03}": "v" for n in range(200)}}
    (alert,) = read_notification(
        encoded(alerts=[{**FIRING, "labels": labels, "annotations": {"a": "x" * 9_999}}])
    ).alerts

    assert alert.name == "A"
    assert len(alert.labels) == MAX_LABELS
    assert max(map(len, alert.labels)) <= MAX_LABEL_NAME
    assert max(map(len, alert.labels.values())) <= MAX_LABEL_VALUE
    assert len(alert.annotations["a"]) == MAX_ANNOTATION


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"[]",
        b"{not json",
        b'{"alerts": [{"labels": {}}]}',
        b'{"alerts": [{"status": "gone", "labels": {}}]}',
        b'{"alerts": [{"status": "firing", "labels": {"a": 1}}]}',
        b'{"alerts": [{"status": "firing", "labels": {"a": "\xff"}}]}',
        b'{"alerts": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_payload_is_refused_in_one_sentence(body: bytes) -> None:
    with pytest.raises(NotAPayloadError, match=r"^This is no webhook payload of Alertmanager: .+\.$"):
        read_notification(body)


ANY_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PAYLOAD, *FIRING]) | st.text(), inner)
    ),
    max_leaves=20,
)


@given(ANY_JSON, st.sampled_from(["", "alerts", "labels"]))
def test_no_body_is_more_than_refused(value: Any, at: str) -> None:
    body: Any = {
        "": value,
        "alerts": {**PAYLOAD, "alerts": value},
        "labels": {"alerts": [{**FIRING, "labels": value}]},
    }[at]
    try:
        found = read_notification(json.dumps(body).encode())
    except NotAPayloadError:
        return
    for alert in found.alerts:
        assert len(alert.labels) <= MAX_LABELS
        assert alert.fingerprint
