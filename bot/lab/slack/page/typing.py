"""What a person types: names become ids, and what fits is offered while typing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from bot.lab.slack.workspace_state import WorkspaceState

_NAME: Final = re.compile(r"(?<![\w@#<&])([@#])([a-z0-9][a-z0-9._-]*)")
_MOST_OFFERED: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """A slash command that is offered while typing. ``usage`` as in the app's manifest."""

    command: str
    usage: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A line of the box above the text field. ``insert`` replaces what was typed."""

    title: str
    note: str
    insert: str


def encoded(text: str, state: WorkspaceState) -> str:
    """``@cni look at #alerts`` as ``<@U…> look at <#C…>``; names that nobody has stay text."""
    return _NAME.sub(lambda found: _token(found[1], found[2], state) or found[0], text)


def _token(sign: str, name: str, state: WorkspaceState) -> str:
    if sign == "#":
        channels = [channel.id for channel in state.channels.values() if channel.name == name]
        return f"<#{channels[0]}>" if channels else ""
    users = [user.id for user in state.users.values() if user.name == name and not user.deleted]
    return f"<@{users[0]}>" if users else ""


def split_command(text: str) -> tuple[str, str] | None:
    """The command and the rest, when the text begins with a slash: known or not, Slack takes it for a command."""
    command, _, rest = text.partition(" ")
    return (command, rest.strip()) if command.startswith("/") and len(command) > 1 else None


def offers(text: str, state: WorkspaceState, hints: tuple[Hint, ...]) -> list[Offer]:
    """What fits what was typed so far: commands after ``/``, words of their usage, names after ``@``."""
    if text.startswith("/"):
        return _commands(text, hints)
    head, sign, name = text.rpartition("@")
    if not sign or (head and not head[-1].isspace()) or re.search(r"[^\w.-]", name):
        return []
    users = [user for user in state.users.values() if not user.deleted and user.id != "USLACKBOT"]
    return [
        Offer(title=f"@{user.name}", note=user.real_name, insert=f"{head}@{user.name} ")
        for user in sorted(users, key=lambda user: (user.id != state.bot_app().bot_user, user.name))
        if user.name.startswith(name)
    ][:_MOST_OFFERED]


def _commands(text: str, hints: tuple[Hint, ...]) -> list[Offer]:
    command, space, rest = text.partition(" ")
    if not space:
        return [
            Offer(title=hint.command, note=f"{hint.usage}\n{hint.description}", insert=f"{hint.command} ")
            for hint in hints
            if hint.command.startswith(command)
        ]
    usages = [usage.strip() for hint in hints if hint.command == command for usage in hint.usage.split("|")]
    return [
        Offer(title=command, note=usage, insert=f"{command} {usage.split()[0]} ")
        for usage in usages
        if usage and usage.split()[0].startswith(rest) and rest not in usage.split()
    ][:_MOST_OFFERED]
