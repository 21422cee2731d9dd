"""Messages of Alertmanager's and of others in Slack: what can be read from them, and what is not one."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.routing import route
from bot.alerts.slack_message import as_alert, is_alert_message, message_of, read_message
from bot.domain.alert import AlertScope
from bot.lab.slack import AlertGroup
from tests.alerts.labels import NODE_EXPORTER, STATE_METRICS

POD = {"alertname": "KubePodNotReady", "namespace": "shop", "pod": "web-6d4cf56db6-4xk2p", "severity": "warning"}
NODE = {
    **STATE_METRICS,
    "alertname": "KubeNodeNotReady",
    "node": "hive-04",
    "condition": "Ready",
    "severity": "warning",
}


def default(labels: dict[str, str], *by: str, **more: Any) -> dict[str, Any]:
    """As the default template has it; grouped by some labels."""
    group = AlertGroup(group_labels={name: labels[name] for name in by}, common_labels=labels, **more)
    return {"bot_id": "B1", "username": "Alertmanager", "text": "", "attachments": [group.attachment()]}


def test_the_default_template() -> None:
    found = read_message(default(POD, "namespace", count=3))

    assert found is not None
    assert (found.status, found.name) == ("firing", "KubePodNotReady")
    assert found.tokens == ("shop", "KubePodNotReady", "web-6d4cf56db6-4xk2p", "warning")
    assert found.group == ("shop",)


def test_the_resolved_one_is_the_same_group() -> None:
    firing = read_message(default(POD, "namespace", count=3))
    resolved = read_message(default({**POD, "pod": "web-0"}, "namespace", status="resolved"))

    assert firing is not None
    assert resolved is not None
    assert resolved.status == "resolved"
    assert resolved.fingerprint == firing.fingerprint


def test_a_title_of_ones_own_leaves_the_fallback() -> None:
    message = default(POD, "alertname")
    message["attachments"][0]["title"] = ":fire: Something is wrong :fire:"
    found = read_message(message)

    assert found is not None
    assert found.tokens[:2] == ("KubePodNotReady", "shop")


@pytest.mark.parametrize(
    ("message", "status", "labels"),
    [
        (
            {
                "attachments": [
                    {"text": "*Alert:* `KubePodNotReady`\n• *Namespace:* `shop`\n*pod:* web-0", "color": "good"}
                ]
            },
            "resolved",
            {"alertname": "KubePodNotReady", "namespace": "shop", "pod": "web-0"},
        ),
        (
            {
                "attachments": [
                    {
                        "title": ":warning: prod",
                        "fields": [
                            {"title": "Alertname", "value": "KubeNodeNotReady"},
                            {"title": "Status", "value": "firing"},
                            {"title": "Node", "value": "`hive-04`"},
                            {"title": "Runbook", "value": "<https://runbooks.example.com|here>"},
                        ],
                    }
                ]
            },
            "firing",
            {"alertname": "KubeNodeNotReady", "node": "hive-04"},
        ),
        (
            {"attachments": [{"title": '[FIRING:2] InstanceDown for api (namespace="shop", severity="critical")'}]},
            "firing",
            {"namespace": "shop", "severity": "critical"},
        ),
        ({"attachments": [{"title": "[FIRING:2, RESOLVED:1] DatasourceError"}]}, "firing", {}),
    ],
)
def test_templates_of_ones_own(message: dict[str, Any], status: str, labels: dict[str, str]) -> None:
    found = read_message(message)

    assert found is not None
    assert (found.status, found.labels) == (status, labels)


@pytest.mark.parametrize(
    "message",
    [
        {"text": "shop is down again"},
        {"text": "deploy of shop: done"},
        {"attachments": [{"title": "Build #12", "fields": [{"title": "Branch", "value": "main"}]}]},
        {"attachments": "nonsense"},
        {},
    ],
)
def test_what_is_not_about_alerts(message: dict[str, Any]) -> None:
    assert read_message(message) is None


def test_people_are_not_listened_to() -> None:
    """Whatever they paste."""
    message = default(POD, "alertname")
    event = {"type": "message", "channel_type": "channel", **message}

    assert is_alert_message(event, {})
    assert is_alert_message({**event, "subtype": "bot_message"}, {})
    assert not is_alert_message({name: value for name, value in event.items() if name != "bot_id"}, {})
    assert not is_alert_message({**event, "subtype": "message_deleted"}, {})
    edited = {"type": "message", "subtype": "message_changed", "message": {**message, "ts": "1.2"}}
    assert is_alert_message(edited, {})
    assert message_of(edited)["ts"] == "1.2"


NAMESPACES, NODES = frozenset({"shop", "kube-prometheus-stack"}), frozenset({"hive-04"})


@pytest.mark.parametrize(
    ("labels", "by", "scope"),
    [
        (POD, ("namespace",), AlertScope(kind="pod", namespace="shop", name="web-6d4cf56db6-4xk2p")),
        (POD, ("alertname", "namespace"), AlertScope(kind="pod", namespace="shop", name="web-6d4cf56db6-4xk2p")),
        (NODE, ("namespace",), AlertScope(kind="node", name="hive-04")),
        (
            {"alertname": "NodeNetworkReceiveErrs", **NODE_EXPORTER},
            ("alertname",),
            AlertScope(kind="node-of-pod", namespace="kube-prometheus-stack", name=NODE_EXPORTER["pod"]),
        ),
        ({"alertname": "KubeProxyDown", "job": "kube-proxy"}, (), AlertScope(kind="component", name="kube-proxy")),
        ({"alertname": "CoreDNSDown", "severity": "critical"}, (), AlertScope(kind="component", name="dns")),
        ({"alertname": "CheckoutSlow", "namespace": "shop"}, (), AlertScope(kind="namespace", namespace="shop")),
        ({"alertname": "CheckoutSlow", "namespace": "gone"}, (), AlertScope(kind="cluster")),
    ],
)
def test_values_without_names_lead_where_the_alert_itself_would(
    labels: dict[str, str], by: tuple[str, ...], scope: AlertScope
) -> None:
    message = read_message(default(labels, *by))

    assert message is not None
    assert route(as_alert(message, namespaces=NAMESPACES, nodes=NODES)).scope == scope


def test_which_alert_a_message_is_about() -> None:
    message = read_message(default(POD, "namespace"))
    assert message is not None
    grouped = read_message(default({"namespace": "shop", "severity": "warning"}, "namespace", count=2))
    assert grouped is not None

    assert message.is_about(POD)
    assert message.is_about({**POD, "prometheus": "monitoring/k8s"})
    assert not message.is_about({**POD, "namespace": "payments"})
    assert not message.is_about({**POD, "alertname": "KubePodCrashLooping"})
    assert grouped.is_about(POD)
    assert not grouped.is_about({**POD, "severity": "critical"})


def test_a_message_that_names_labels_is_about_an_alert_of_its_name_and_place() -> None:
    text = "*alertname:* `KubePodNotReady`\n*namespace:* `shop`\nSee the runbook"
    message = read_message({"attachments": [{"title": "Trouble in prod", "text": text}]})

    assert message is not None
    assert message.is_about(POD)
    assert not message.is_about({**POD, "namespace": "payments"})


TEXT = st.text(max_size=40) | st.sampled_from(
    ["[FIRING:1] A b (c)", "[RESOLVED] A", "*alertname:* `X`", "status: firing"]
)
MESSAGES = st.fixed_dictionaries(
    {},
    optional={
        "text": TEXT | st.none() | st.integers(),
        "attachments": st.lists(
            st.dictionaries(st.sampled_from(["title", "fallback", "text", "fields", "color"]), TEXT | st.none()) | TEXT,
            max_size=2,
        )
        | TEXT,
    },
)


@given(MESSAGES)
def test_no_message_is_a_fault_of_ours(message: dict[str, Any]) -> None:
    found = read_message(message)
    if found is not None:
        alert = as_alert(found, namespaces=NAMESPACES, nodes=NODES)
        assert route(alert).why
        assert found.is_about(alert.labels) in {True, False}


@pytest.mark.parametrize("piece", ["\n", "<http:", ":a", "*_", "a: ", " | https://", "[FIRING", "\\W:x:", 'a="', "( "])
def test_no_text_is_slow_to_read(piece: str) -> None:
    text = piece * 20_000
    began = time.process_time()
    read_message({"text": text, "attachments": [{"title": text, "fallback": text, "text": text, "pretext": text}] * 5})

    assert time.process_time() - began < 2
