"""The workshop: a child process in which diagnoses are made, so that the bot itself only waits and answers."""

from bot.incidents.workshop.workshop import Workshop, WorkshopError, open_workshop

__all__ = ["Workshop", "WorkshopError", "open_workshop"]
