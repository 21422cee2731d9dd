"""The composition root: opens every part of the bot, runs them together, and ends them in order."""

from bot.app.failures import NotReadyError, PartFailedError
from bot.app.opening import clusters_of
from bot.app.running import Running, serve

__all__ = ["NotReadyError", "PartFailedError", "Running", "clusters_of", "serve"]
