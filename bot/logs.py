"""Logging: structured events on standard error, readable on a terminal and JSON elsewhere."""

import logging
import sys

import structlog


class _Libraries(logging.Handler):
    """What libraries warn of, as events of ours.

    Below warnings they are not asked: Bolt and the Slack SDK print whole messages of people there, and the bodies of
    requests that nobody signed.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Hand it on."""
        log = structlog.get_logger()
        say = log.error if record.levelno >= logging.ERROR else log.warning
        say("library.said", library=record.name, message=record.getMessage()[:500], exc_info=record.exc_info)


def configure(level: str = "warning") -> None:
    """Send events of `level` and above to standard error; standard output belongs to reports."""
    renderer = structlog.dev.ConsoleRenderer() if sys.stderr.isatty() else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # as it is when the event is told
        cache_logger_on_first_use=False,
    )
    if not any(isinstance(handler, _Libraries) for handler in logging.root.handlers):
        logging.root.addHandler(_Libraries(logging.WARNING))
