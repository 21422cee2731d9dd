"""The shortcut "Diagnose this alert"."""

from __future__ import annotations

from typing import Any

import pytest

from bot.domain.authorization import Action, Grant
from bot.lab.slack.alertmanager import AlertGroup
from bot.slack.handlers.alerts import read
from tests.slack.handlers.conftest import Opened, Rig


async def shortcut(rig: Rig, group: AlertGroup, who: str = "alice") -> str:
    ts = await rig.ws.alertmanager.notify(group)
    await rig.ws.user(who).shortcut("alerts", ts, "cni_diagnose_message")
    return ts


def firing(*, text: str = "", fields: dict[str, str] | None = None, **labels: str) -> AlertGroup:
    common = {"alertname": "PodsCannotTalk", "severity": "critical", **labels}
    return AlertGroup(
        group_labels={"alertname": "PodsCannotTalk"}, common_labels=common, text=text, fields=fields or {}
    )


@pytest.mark.parametrize(
    "group",
    [
        firing(namespace="shop"),
        firing(text="*namespace:* `shop`"),
        firing(fields={"Namespace": "shop", "Severity": "critical"}),
        firing(namespace="shop", text="namespace: shop\nsee payments too"),
    ],
    ids=["value only", "text", "field", "named goes before words"],
)
async def test_the_alert_is_diagnosed_in_its_own_thread(group: AlertGroup, rig: Rig) -> None:
    ts = await shortcut(rig, group)

    def verdicts() -> list[str]:
        return [one.text for one in rig.ws.thread("alerts", ts) if "cni_details" in one.action_ids]

    assert "shop on lab" in (await rig.ws.until(verdicts))[0]
    assert [one for one in rig.ws.messages("alerts") if one.user == rig.ws.bot_user_id] == []


async def test_of_several_namespaces_the_person_chooses(rig: Rig) -> None:
    ts = await shortcut(rig, firing(namespace="shop", target="payments"))
    await rig.shown_only_to("alice", "Which one?", "alerts")
    ephemeral = rig.alice.ephemerals("alerts")[-1]

    await rig.alice.click("alerts", ephemeral.ts, "cni_diagnose_namespace:1", None)

    await rig.ws.until(lambda: [one for one in rig.ws.everything("alerts") if "cni_details" in one.action_ids])
    await rig.quiet()
    assert ts


async def test_without_a_namespace_it_says_what_to_type(rig: Rig) -> None:
    await shortcut(rig, firing(node="node-1"))

    await rig.shown_only_to("alice", "@cni diagnose NAMESPACE", "alerts")


async def test_a_namespace_that_does_not_exist_is_not_diagnosed(rig: Rig) -> None:
    await shortcut(rig, firing(text="namespace: shopp"))

    await rig.shown_only_to("alice", "There is no namespace `shopp`", "alerts")
    await rig.quiet()
    assert await rig.store.incidents.open_ones() == ()


async def test_the_alert_says_which_cluster(open_rig: Opened) -> None:
    rig = await open_rig(clusters=("lab", "eu"))
    ts = await shortcut(rig, firing(text="cluster: eu\nnamespace: shop"))

    def verdicts() -> list[str]:
        return [one.text for one in rig.ws.thread("alerts", ts) if "cni_details" in one.action_ids]

    assert "shop on eu" in (await rig.ws.until(verdicts))[0]


async def test_in_several_clusters_the_person_chooses(open_rig: Opened) -> None:
    rig = await open_rig(clusters=("lab", "eu"))
    await shortcut(rig, firing(namespace="shop"))

    await rig.shown_only_to("alice", "Which one?", "alerts")
    labels = [block["elements"] for block in rig.alice.ephemerals("alerts")[-1].blocks if block["type"] == "actions"]
    assert [button["text"]["text"] for button in labels[0]] == ["shop on lab", "shop on eu"]


@pytest.mark.parametrize(
    ("message", "named"),
    [
        ({}, ()),
        ({"attachments": None, "text": None}, ()),
        ({"attachments": [None, 7, {"fields": "x", "text": 3}]}, ()),
        ({"text": 'namespace="shop" exported_namespace="payments"'}, ("shop", "payments")),
        ({"text": "Namespace = SHOP"}, ("shop",)),
        ({"text": "namespace: -shop"}, ()),
        ({"attachments": [{"fallback": "x | http://am:9093/?namespace=shop"}]}, ()),
        ({"attachments": [{"fields": [{"title": "namespace", "value": "`shop`"}]}]}, ("shop",)),
    ],
)
def test_reading(message: dict[str, Any], named: tuple[str, ...]) -> None:
    assert read(message).named == named


async def test_namespaces_that_one_may_not_diagnose_are_not_told_by_the_shortcut(open_rig: Opened) -> None:
    """A message of one's own with many words would else ask which of them are namespaces."""
    some = Grant(actions=frozenset({Action.DIAGNOSE}), users=frozenset({"U0BOB"}), namespaces=("elsewhere",))
    rig = await open_rig(grants=(some,))
    await shortcut(rig, firing(text="shop payments shop-staging elsewhere"), who="bob")

    reported = [one.text for one in await rig.ws.until(lambda: rig.ws.user("bob").ephemerals())]

    assert not any(name in text for text in reported for name in ("shop", "payments"))
