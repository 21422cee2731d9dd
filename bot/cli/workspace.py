"""The demo's Slack workspace: what the page needs to know of the bot."""

from bot.cli.bot_process import BotProcess
from bot.lab.control import LabClient
from bot.lab.slack import SlackOptions, SlackWorkspace
from bot.lab.slack.page.stage import Stage
from bot.lab.slack.page.typing import Hint

HINT = Hint(
    command="/cni",
    usage="diagnose NAMESPACE | status | incidents | watch NAMESPACE | playbooks | known-issues | help",
    description="Says why pods cannot talk, with evidence",
)
SHORTCUTS = (("cni_diagnose_message", "Diagnose this alert"),)


def options() -> SlackOptions:
    """Socket Mode, and the patience of the real Slack with those who post too fast."""
    return SlackOptions(strict_rates=True)


def stage_of(workspace: SlackWorkspace, cluster: LabClient, bot: BotProcess) -> Stage:
    """What the page shows and what it can break."""
    return Stage(workspace=workspace, cluster=cluster, kill_bot=bot.kill, hints=(HINT,), shortcuts=SHORTCUTS)
