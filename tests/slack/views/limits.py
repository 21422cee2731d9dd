"""Slack's limits, asserted without Slack: what a message or view breaks, as sentences."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from bot.domain.outgoing import Content
from bot.lab.slack.validate import validate_message, validate_view
from bot.slack.views.text import units

_OURS = re.compile(
    r"<@[UW][A-Z0-9]+>|<!subteam\^S[A-Z0-9]+>|<#[CG][A-Z0-9]+>|<!date\^\d+\^\{date_short_pretty\} \{time\}\|[^<>|]*>"
    r"|<https?://[^\s<>|]+\|[^<>|]*>"
)
"""The angle brackets that views make themselves."""


def unescaped(mrkdwn: str) -> list[str]:
    """Signs with a meaning to Slack that are neither entities nor of our own making."""
    rest = _OURS.sub("", mrkdwn)
    return re.findall(r"[<>]|&(?!(?:amp|lt|gt);)", rest)


def problems_of_message(content: Content) -> list[str]:
    """Why Slack, or the reader, could not take this message."""
    found = [str(one) for one in validate_message({"text": content.text, "blocks": [*content.blocks]})]
    if not content.text.strip() or units(content.text) > 4_000:
        found.append(f"text of {units(content.text)}")
    if unescaped(content.text):
        found.append("unescaped text")
    if len(content.blocks) > 50:
        found.append("more than 50 blocks")
    shown = sum(units(text) for block in content.blocks for text in texts_of(block))
    if shown > 12_000:
        found.append(f"{shown} characters in all")
    return found + list(_problems(content.blocks))


def problems_of_view(view: Mapping[str, Any]) -> list[str]:
    """The same for a modal or the Home."""
    found = [str(one) for one in validate_view(view)]
    if not 1 <= len(view["blocks"]) <= 100:
        found.append(f"{len(view['blocks'])} blocks")
    if len(json.dumps(view)) > 250_000:
        found.append("larger than 250 kB")
    labels = {name: view[name]["text"] for name in ("title", "submit", "close") if name in view}
    found += [f"{name} too long" for name, text in labels.items() if not 0 < units(text) <= 24]
    if len(view.get("private_metadata", "")) > 3_000:
        found.append("private_metadata too long")
    return found + list(_problems(view["blocks"]))


def texts_of(value: Any) -> Iterator[str]:
    """The text of every text object in it, in order."""
    match value:
        case {"type": "mrkdwn" | "plain_text", "text": str(text)}:
            yield text
        case Mapping():
            for each in cast("Mapping[str, Any]", value).values():
                yield from texts_of(each)
        case list() | tuple():
            for each in cast("Sequence[Any]", value):
                yield from texts_of(each)
        case _:
            pass


def _problems(blocks: Any) -> Iterator[str]:
    ids = [block["block_id"] for block in blocks if "block_id" in block]
    if len(ids) != len(set(ids)):
        yield "block_ids repeat"
    for block in blocks:
        yield from (f"{block['type']}: {problem}" for problem in _block(block))


def _block(block: Mapping[str, Any]) -> Iterator[str]:
    match block["type"]:
        case "header":
            yield from _text(block["text"], 150)
        case "section":
            yield from _text(block["text"], 3_000)
        case "context":
            assert len(block["elements"]) <= 10
            for element in block["elements"]:
                yield from _text(element, 2_000)
        case "actions":
            yield from _actions(block["elements"])
        case "input":
            yield from _text(block["label"], 2_000)
        case other:
            assert other == "divider"


def _actions(elements: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    actions = [element["action_id"] for element in elements]
    if len(actions) != len(set(actions)) or not 1 <= len(actions) <= 25:
        yield "action_ids"
    for element in elements:
        options = element.get("options", ())
        if len(options) > 5 or any(not 0 < len(one["value"]) <= 150 for one in options):
            yield "options"
        for shown in options or [element]:
            yield from _text(shown["text"], 75)
        if not 0 < len(element.get("value", "x")) <= 2_000 or len(element.get("accessibility_label", "")) > 75:
            yield "value or label"


def _text(text: Mapping[str, Any], limit: int) -> Iterator[str]:
    body = text["text"]
    if not body or units(body) > limit:
        yield f"{units(body)} of {limit}"
    if any(not (character.isprintable() or character == "\n") for character in body):
        yield f"control characters in {body!r}"
    if text["type"] == "mrkdwn":
        if unescaped(body):
            yield f"unescaped in {body!r}"
        if body.count("```") % 2 or not text["verbatim"]:
            yield "an open fence, or links of Slack's own making"
    elif set(body) & set("<>&") or text["emoji"]:
        yield "markup in plain text"
