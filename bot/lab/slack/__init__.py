"""A Slack workspace on this machine: Web API, Socket Mode, HTTP, people, and bad days."""

from bot.lab.slack.alertmanager import AlertGroup
from bot.lab.slack.changes import Change
from bot.lab.slack.errors import UserClientError
from bot.lab.slack.faults import Faults
from bot.lab.slack.message import Ephemeral, File, Message
from bot.lab.slack.model import Channel, View
from bot.lab.slack.options import SlackOptions
from bot.lab.slack.outcome import Outcome
from bot.lab.slack.users import UserClient
from bot.lab.slack.workspace import SlackWorkspace

__all__ = [
    "AlertGroup",
    "Change",
    "Channel",
    "Ephemeral",
    "Faults",
    "File",
    "Message",
    "Outcome",
    "SlackOptions",
    "SlackWorkspace",
    "UserClient",
    "UserClientError",
    "View",
]
