"""A person's typing as the rich text that Slack's client makes of it."""

import re
from collections.abc import Mapping

from bot.lab.types import Json

_TOKEN = re.compile(
    r"<@(?P<user>[UW][A-Z0-9]+)(?:\|[^>]*)?>|<#(?P<channel>C[A-Z0-9]+)(?:\|[^>]*)?>|<(?P<link>https?://[^|>]+)(?:\|(?P<label>[^>]*))?>"
)


def mentioned(text: str) -> set[str]:
    """User ids that the text names as `<@U…>`."""
    return {match["user"] for match in _TOKEN.finditer(text) if match["user"]}


def escape(text: str) -> str:
    """Typed text as Slack stores it; mentions and links in angle brackets stay."""
    parts: list[str] = []
    end = 0
    for match in _TOKEN.finditer(text):
        parts += [_plain(text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*parts, _plain(text[end:])])


def command_text(text: str, names: Mapping[str, str]) -> str:
    """What an app gets of a command with `should_escape`: mentions with the name of who or what they mean."""

    def named(match: re.Match[str]) -> str:
        target = match["user"] or match["channel"]
        if target is None or target not in names:
            return match[0]
        return f"<{'@' if match['user'] else '#'}{target}|{names[target]}>"

    return _TOKEN.sub(named, escape(text))


def blocks(text: str) -> list[Json]:
    """One rich_text block that says the (escaped) text."""
    elements: list[Json] = []
    end = 0
    for match in _TOKEN.finditer(text):
        elements += _text(text[end : match.start()])
        elements.append(_element(match))
        end = match.end()
    elements += _text(text[end:])
    return (
        [{"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": elements}]}] if elements else []
    )


def _element(match: re.Match[str]) -> Json:
    if match["user"]:
        return {"type": "user", "user_id": match["user"]}
    if match["channel"]:
        return {"type": "channel", "channel_id": match["channel"]}
    label = {"text": match["label"]} if match["label"] else {}
    return {"type": "link", "url": match["link"], **label}


def _text(text: str) -> list[Json]:
    unescaped = text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
    return [{"type": "text", "text": unescaped}] if text else []


def _plain(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
