"""A fault in the lab, a real alert of the real Alertmanager, by webhook and by Slack: one thread, and its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from bot.lab.slack import SlackWorkspace
from bot.lab.slack.message import Message
from tests.conftest import LabUnderTest
from tests.stories import alertmanager
from tests.stories.alertmanager import needs_alertmanager
from tests.stories.whole_bot import ANSWER_S, running

TOKEN = "t0ken"
ALERT = {"namespace": "seldon-mesh", "severity": "critical"}
SETTINGS = {
    "CNIBOT_ALERTMANAGER_TOKEN": TOKEN,
    "CNIBOT_ALERT_CHANNEL": "C0INCIDENTS",
    "CNIBOT_ALERT_CHANNELS": '["C0ALERTS"]',
}


def receiver(slack: SlackWorkspace, bot_address: str) -> dict[str, object]:
    """What docs/alerts.md tells people to configure."""
    webhook = {
        "url": f"{bot_address}/alertmanager",
        "send_resolved": True,
        "max_alerts": 1000,
        "http_config": {"authorization": {"credentials": TOKEN}},
    }
    slack_config = {"api_url": slack.alertmanager.webhook_url, "channel": "#alerts", "send_resolved": True}
    return {"webhook_configs": [webhook], "slack_configs": [slack_config]}


def replies(slack: SlackWorkspace, root: Message) -> list[Message]:
    return [each for each in slack.thread("alerts", root.ts) if each.user == slack.bot_user_id]


def signs(slack: SlackWorkspace) -> list[str]:
    """What stands beside Alertmanager's first message."""
    return list(slack.messages("alerts")[0].reactions)


@needs_alertmanager
@pytest.mark.lab
async def test_the_thread_under_the_alert_holds_the_diagnosis(calico_lab: LabUnderTest, tmp_path: Path) -> None:
    """Nobody types anything."""
    port = alertmanager.free_port()
    await calico_lab.client.break_("calico-proxy-arp-off", node="node-2")
    async with (
        SlackWorkspace.start() as slack,
        running(calico_lab, slack, tmp_path / "bot", CNIBOT_HTTP_PORT=str(port), **SETTINGS),
        alertmanager.running(
            tmp_path / "alertmanager", receiver(slack, f"http://127.0.0.1:{port}"), ["alertname", "namespace"]
        ) as manager,
    ):
        await manager.fire("SeldonRequestsFail", **ALERT)
        (root,) = await slack.until(
            lambda: [m for m in slack.messages("alerts") if m.user != slack.bot_user_id], ANSWER_S
        )
        await slack.until(lambda: "cni_details" in str([m.action_ids for m in replies(slack, root)]), ANSWER_S)
        everything = "\n".join(m.text for m in replies(slack, root))
        assert "proxy ARP is off" in everything
        assert [m for m in slack.messages("incidents") if m.user == slack.bot_user_id] == []
        card = await slack.until(lambda: [m for m in replies(slack, root) if "the network.*" in m.text], ANSWER_S)
        assert "1 firing, 0 ended" in card[0].text
        await slack.until(lambda: signs(slack) == ["red_circle"], ANSWER_S)

        await calico_lab.client.heal()
        await manager.end("SeldonRequestsFail", **ALERT)
        await slack.until(lambda: any("Checked again" in m.text for m in replies(slack, root)), ANSWER_S)
        assert "It was: " in next(m.text for m in replies(slack, root) if "Checked again" in m.text)
        await slack.until(lambda: signs(slack) == ["black_circle"], ANSWER_S)
