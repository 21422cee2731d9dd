"""The whole report as a file for the thread: Markdown, redacted, bounded."""

import re
from collections.abc import Iterator
from typing import cast

import msgspec

from bot.domain.redact import redact, redacted
from bot.domain.report import Report
from bot.render.markdown import markdown

MAX_BYTES = 1_000_000
_MAX_LIST = 100_000
"""Characters of one of the report's lists."""
_MAX_READ = 1_500
"""Characters of one text."""
_CUT = "\n\n(cut here: the report is longer than a file for Slack should be)\n"


def evidence_file(report: Report) -> tuple[str, bytes]:
    """A name and the text, UTF-8. What is left out is counted at the end."""
    whole = cast("dict[str, object]", msgspec.to_builtins(report))
    short = {name: _trimmed(value) for name, value in whole.items()}
    safe = msgspec.convert(redacted(short), Report)
    text = (markdown(safe, "slack") + "".join(_left_out(whole, short))).encode("utf-8", errors="replace")
    if len(text) > MAX_BYTES:
        text = text[: MAX_BYTES - len(_CUT)].decode("utf-8", errors="ignore").encode() + _CUT.encode()
    return f"cnibot-{_slug(report.scope.namespace, 63)}-{_slug(report.started_at, 20)}.md", text


def _left_out(whole: dict[str, object], short: dict[str, object]) -> Iterator[str]:
    for name, value in whole.items():
        if isinstance(value, list | tuple):
            every, kept = len(cast("list[object]", value)), len(cast("list[object]", short[name]))
            if kept < every:
                yield f"\n(left out to save space: {every - kept} of {every} {name.replace('_', ' ')})\n"


def _trimmed(value: object) -> object:
    """No list and no text longer than anybody reads: real reports are far below."""
    if isinstance(value, str):
        return value[:_MAX_READ]
    if isinstance(value, dict):
        return {name: _trimmed(each) for name, each in cast("dict[str, object]", value).items()}
    if not isinstance(value, list | tuple):
        return value
    kept: list[object] = []
    room = _MAX_LIST
    for each in map(_trimmed, cast("list[object]", value)):
        room -= len(str(each))
        if room < 0:
            break
        kept.append(each)
    return kept


def _slug(text: str, limit: int) -> str:
    """Letters, digits and dashes: a name for every file system."""
    return re.sub(r"[^A-Za-z0-9]+", "-", redact(text[: limit * 4], "slack")).strip("-")[:limit].strip("-") or "report"
