"""A workspace that survives its process: people, messages, files and tokens in one file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bot.lab.slack.message import File, Whisper
from bot.lab.slack.model import App, Channel, Group, User, View
from bot.lab.slack.workspace_state import WorkspaceState

_NAME = "slack.json"


@dataclass(kw_only=True, slots=True)
class Snapshot:
    """What is kept. Open modals, sockets and handles are not: they end with the process, as people see it."""

    users: dict[str, User]
    groups: dict[str, Group]
    channels: dict[str, Channel]
    apps: dict[str, App]
    files: dict[str, File]
    whispers: list[Whisper]
    homes: list[View]
    webhooks: dict[str, str]


def save(world: WorkspaceState, directory: Path) -> None:
    """Write the state; a reader sees the old file or the new one, never a part."""
    snapshot = Snapshot(
        users=world.users,
        groups=world.groups,
        channels=world.channels,
        apps=world.apps,
        files=world.files,
        whispers=world.whispers,
        homes=list(world.homes.values()),
        webhooks=world.webhooks,
    )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = directory / f"{_NAME}.{os.getpid()}"
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.encode(snapshot))
    fresh.replace(directory / _NAME)


def load(world: WorkspaceState, directory: Path) -> bool:
    """Read the state into the world; False when there is none yet. Raises `msgspec.MsgspecError` for a broken file."""
    path = directory / _NAME
    if not path.exists():
        return False
    snapshot = msgspec.json.decode(path.read_bytes(), type=Snapshot)
    world.users, world.groups, world.channels = snapshot.users, snapshot.groups, snapshot.channels
    world.apps, world.files, world.whispers = snapshot.apps, snapshot.files, snapshot.whispers
    world.webhooks = snapshot.webhooks
    for view in snapshot.homes:
        world.homes[view.app_id, view.user] = world.views[view.id] = view
    for channel in world.channels.values():
        for message in channel.messages.values():
            message.files = [world.files.get(file.id, file) for file in message.files]
    app = world.bot_app()
    app.mode, app.request_url = world.options.mode, world.options.request_url or app.request_url
    return True
