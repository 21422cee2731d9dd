"""A workspace that survives its process: people, messages, files and tokens in one file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bot.lab.slack.message import Ephemeral, File
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
    ephemerals: list[Ephemeral]
    homes: list[View]
    webhooks: dict[str, str]


def save(state: WorkspaceState, directory: Path) -> None:
    """Write the state; a reader sees the old file or the new one, never a part."""
    snapshot = Snapshot(
        users=state.users,
        groups=state.groups,
        channels=state.channels,
        apps=state.apps,
        files=state.files,
        ephemerals=state.ephemerals,
        homes=list(state.homes.values()),
        webhooks=state.webhooks,
    )
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = directory / f"{_NAME}.{os.getpid()}"
    fresh.touch(mode=0o600)
    fresh.write_bytes(msgspec.json.encode(snapshot))
    fresh.replace(directory / _NAME)


def load(state: WorkspaceState, directory: Path) -> bool:
    """Read the state into the workspace; False if there is none. Raises `msgspec.MsgspecError` for a broken file."""
    path = directory / _NAME
    if not path.exists():
        return False
    snapshot = msgspec.json.decode(path.read_bytes(), type=Snapshot)
    state.users, state.groups, state.channels = snapshot.users, snapshot.groups, snapshot.channels
    state.apps, state.files, state.ephemerals = snapshot.apps, snapshot.files, snapshot.ephemerals
    state.webhooks = snapshot.webhooks
    for view in snapshot.homes:
        state.homes[view.app_id, view.user] = state.views[view.id] = view
    for channel in state.channels.values():
        for message in channel.messages.values():
            message.files = [state.files.get(file.id, file) for file in message.files]
    app = state.bot_app()
    app.mode, app.request_url = state.options.mode, state.options.request_url or app.request_url
    return True
