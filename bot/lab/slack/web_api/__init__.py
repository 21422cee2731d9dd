"""The Web API. Importing this fills the table of methods."""

from bot.lab.slack.web_api import apps, chat, conversations, files, people, reactions, views
from bot.lab.slack.web_api.registry import METHODS, Call, Method

__all__ = ["METHODS", "Call", "Method", "apps", "chat", "conversations", "files", "people", "reactions", "views"]
