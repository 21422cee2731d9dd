"""Composition objects: texts, options, confirmations, pictures.

Source: https://docs.slack.dev/reference/block-kit/composition-objects
"""

from __future__ import annotations

from typing import Any

from bot.lab.slack.validate.walk import (
    Check,
    Walk,
    enum,
    exactly_one_of,
    fields,
    flag,
    items,
    kinds,
    number,
    string,
    url,
)


def plain_text(most: int = 3000) -> Check:
    """`{"type": "plain_text", "text": …}`."""
    return kinds({"plain_text": _plain(most)})


def mrkdwn(most: int = 3000) -> Check:
    """`{"type": "mrkdwn", "text": …}`."""
    return kinds({"mrkdwn": _mrkdwn(most)})


def text(most: int = 3000) -> Check:
    """Either."""
    return kinds({"plain_text": _plain(most), "mrkdwn": _mrkdwn(most)})


def _plain(most: int) -> Check:
    return fields({"type": string(), "text": string(most)}, {"emoji": flag})


def _mrkdwn(most: int) -> Check:
    return fields({"type": string(), "text": string(most)}, {"verbatim": flag})


def option(label: Check, *, with_url: bool = False) -> Check:
    """A choice; its value comes back when it is chosen."""
    return fields(
        {"text": label, "value": string(150)},
        {"description": text(75), **({"url": url()} if with_url else {})},
    )


_GROUP = fields({"label": plain_text(75), "options": items(option(plain_text(75)), 100)})


def options(most: int = 100) -> Check:
    """A list of choices."""
    return items(option(plain_text(75)), most)


OPTION_GROUPS = items(_GROUP, 100)


def _initial(walk: Walk, value: Any, pointer: str) -> None:
    """What is chosen at first must be among the choices."""
    holders: list[Any] = [value, *(value.get("option_groups") or [])]
    lists: list[list[Any]] = [holder.get("options") or [] for holder in holders]
    choices = [one for options in lists for one in options]
    first = value.get("initial_option")
    if first is not None and first not in choices:
        walk.fail(f"{pointer}/initial_option", "must match one of the options")
    for index, one in enumerate(value.get("initial_options") or []):
        if one not in choices:
            walk.fail(f"{pointer}/initial_options/{index}", "must match one of the options")


def initial(walk: Walk, value: Any, pointer: str) -> None:
    """The same, and silent where the choices themselves are malformed: that is said already."""
    try:
        _initial(walk, value, pointer)
    except (AttributeError, TypeError):
        return


CHOICES = exactly_one_of("options", "option_groups")
CONFIRM = fields(
    {"title": plain_text(100), "text": text(300), "confirm": plain_text(30), "deny": plain_text(30)},
    {"style": enum("primary", "danger")},
)
SLACK_FILE = fields({}, {"id": string(), "url": url()}, exactly_one_of("id", "url"))
RAW_TEXT = fields({"type": string(), "text": string()})
RAW_NUMBER = fields({"type": string(), "value": number}, {"text": string()})
DISPATCH = fields({"trigger_actions_on": items(enum("on_enter_pressed", "on_character_entered"), 2)})
FILTER = fields(
    {},
    {
        "include": items(enum("im", "mpim", "private", "public")),
        "exclude_external_shared_channels": flag,
        "exclude_bot_users": flag,
    },
)
