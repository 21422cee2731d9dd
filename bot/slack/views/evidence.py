"""The whole report as a file for the thread: Markdown, redacted, bounded."""

import re

import msgspec

from bot.domain.redact import redacted
from bot.domain.report import Report
from bot.render.markdown import markdown

MAX_BYTES = 1_000_000
_CUT = "\n\n(cut here: the report is longer than a file for Slack should be)\n"


def evidence_file(report: Report) -> tuple[str, bytes]:
    """A name and the text, UTF-8."""
    safe = msgspec.convert(redacted(msgspec.to_builtins(report)), Report)
    text = markdown(safe).encode("utf-8", errors="replace")
    if len(text) > MAX_BYTES:
        text = text[: MAX_BYTES - len(_CUT)].decode("utf-8", errors="ignore").encode() + _CUT.encode()
    return f"cnibot-{_slug(report.scope.namespace, 63)}-{_slug(report.started_at, 20)}.md", text


def _slug(text: str, limit: int) -> str:
    """Letters, digits and dashes: a name for every file system."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text[: limit * 4]).strip("-")[:limit] or "report"
