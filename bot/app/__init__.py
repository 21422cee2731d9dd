"""The composition root: opens every part of the bot, runs them together, and ends them in order."""

from bot.app.failures import NotReadyError, PartFailedError
from bot.app.lifecycle import Running, serve
from bot.app.wiring import clusters_of

__all__ = ["NotReadyError", "PartFailedError", "Running", "clusters_of", "serve"]
