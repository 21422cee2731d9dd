"""Messages for channels that want to be left in peace."""

import re
from typing import Any, cast

from bot.domain.outgoing import Content

_MENTION = re.compile(r"<(?:@|!subteam\^)([A-Z0-9]+)(?:\|[^<>]*)?>")


def unmentioned(content: Content) -> Content:
    """The message with people and groups named by their ids as code, which calls nobody."""
    blocks = tuple(_replaced(dict(block)) for block in content.blocks)
    return Content(text=_quiet(content.text), blocks=blocks)


def _replaced(value: Any) -> Any:
    if isinstance(value, str):
        return _quiet(value)
    if isinstance(value, dict):
        return {key: _replaced(one) for key, one in cast("dict[str, Any]", value).items()}
    return [_replaced(one) for one in cast("list[Any]", value)] if isinstance(value, list | tuple) else value


def _quiet(text: str) -> str:
    return _MENTION.sub(r"`\1`", text)
