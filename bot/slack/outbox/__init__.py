"""The outbox: every message to a channel goes through here, and none is lost or said twice."""

from bot.slack.outbox.outbox import Outbox

__all__ = ["Outbox"]
