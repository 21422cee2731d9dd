"""The demo's Slack workspace: what the page needs to know of the bot."""

from bot.cli.bot_process import BotProcess
from bot.cli.story import FAULT, VICTIM
from bot.lab.cluster.control import LabClient
from bot.lab.slack import SlackOptions, SlackWorkspace
from bot.lab.slack.page.page_context import PageContext, Story
from bot.lab.slack.page.typing import Hint

HINT = Hint(
    command="/cni",
    usage="diagnose NAMESPACE | status | incidents | help",
    description="Say why the pods of a namespace cannot talk",
)
"""As in deploy/slack/manifest.yaml (a test compares)."""
SHORTCUTS = (("cni_diagnose_message", "Diagnose this alert"),)


def options() -> SlackOptions:
    """Socket Mode, the real Slack's patience with those who post too fast, and its redelivery in a shorter time."""
    return SlackOptions(strict_rates=True, retry_delays_s=(0.0, 5.0, 30.0))


def page_context(workspace: SlackWorkspace, cluster: LabClient, bot: BotProcess) -> PageContext:
    """What the page shows and what it can break."""
    return PageContext(
        workspace=workspace,
        cluster=cluster,
        kill_bot=bot.kill,
        hints=(HINT,),
        shortcuts=SHORTCUTS,
        story=Story(title=f"2 a.m. on {VICTIM}: the story", fault=FAULT, node=VICTIM),
    )
