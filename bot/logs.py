"""Logging: structured events on standard error, readable on a terminal, JSON elsewhere; paced, and without secrets."""

import logging
import sys
import time
from collections.abc import Callable, MutableMapping
from typing import Any, cast

import structlog

from bot.domain.redact import redact, redacted

MOST_LINES = 20
"""Of one library in `PERIOD_S`: whoever can make it complain must not fill the disk."""
MOST_OF_OURS = 60
"""Warnings and errors of one name in `PERIOD_S`: a store that is away for a day is found so ten times a second."""
PERIOD_S = 60.0


class _Libraries(logging.Handler):
    """What libraries warn of, as events of ours, so many in a while; of the rest the count.

    Below warnings they are not asked: Bolt and the Slack SDK print whole messages of people there, and the bodies of
    requests that nobody signed.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.WARNING)
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}
        """By library: when its period began, and how many lines since."""

    def emit(self, record: logging.LogRecord) -> None:
        """Hand it on."""
        log = structlog.get_logger()
        began, lines = self._said.get(record.name, (0.0, 0))
        now = self._clock()
        if not lines or now - began >= PERIOD_S:
            if lines > MOST_LINES:
                log.warning("library.silenced", library=record.name, lines=lines - MOST_LINES)
            began, lines = now, 0
        self._said[record.name] = began, lines + 1
        if lines >= MOST_LINES:
            return
        say = log.error if record.levelno >= logging.ERROR else log.warning
        say("library.said", library=record.name, message=record.getMessage()[:500], exc_info=record.exc_info)


class _Paced:
    """Warnings and errors of one name, so many in a while; the next one after it says how many were left out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._said: dict[str, tuple[float, int]] = {}
        """By event: when its period began, and how many lines since."""

    def __call__(self, _: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """The event. Raises structlog's DropEvent for one too many."""
        if method in {"debug", "info"}:
            return event
        name, now = str(event.get("event")), self._clock()
        began, lines = self._said.get(name, (now, 0))
        if now - began >= PERIOD_S:
            if lines > MOST_OF_OURS:
                event["left_out"] = lines - MOST_OF_OURS
            began, lines = now, 0
        self._said[name] = began, lines + 1
        if lines >= MOST_OF_OURS:
            raise structlog.DropEvent
        return event


def configure(level: str = "warning") -> None:
    """Send events of `level` and above to standard error; standard output belongs to reports."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            _Paced(),
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _without_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # as it is when the event is logged
        cache_logger_on_first_use=False,
    )
    if not any(isinstance(handler, _Libraries) for handler in logging.root.handlers):
        logging.root.addHandler(_Libraries())


def _without_secrets(_: object, __: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Whatever an event holds: what is no plain value is logged as it would be printed."""
    return {key: _plain(value) for key, value in event.items()}


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, str | dict | list | tuple):
        return redacted(cast("object", value), "log")
    return redact(str(value), "log")
