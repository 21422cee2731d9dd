"""Uploads under way, and the sharing of what was uploaded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from bot.lab.slack.background import Background
from bot.lab.slack.message import File, Message
from bot.lab.slack.model import App, Channel
from bot.lab.slack.workspace_state import WorkspaceState


@dataclass
class Uploads:
    """Upload addresses, each good for one file."""

    state: WorkspaceState
    background: Background
    _waiting: dict[str, File] = field(default_factory=dict[str, File])

    def new(self, file: File) -> str:
        """The path to which the bytes go."""
        path = f"/upload/v1/{self.state.ids.secret(32)}"
        self._waiting[path] = file
        return path

    def take(self, path: str, content: bytes) -> bool:
        """Keep the bytes; False when nobody waits for them or the length is not the announced one."""
        file = self._waiting.get(path)
        if file is None or len(content) != file.length:
            return False
        del self._waiting[path]
        file.content = content
        self.state.changes.note("file", detail=file.id)
        return True

    def share(self, app: App, files: list[File], channels: list[Channel], thread_ts: str, comment: str) -> None:
        """Post the files into the channels, a moment later: Slack scans them first."""
        if channels:
            self.background.spawn(self._share(app, files, channels, thread_ts, comment), "share files")

    async def _share(self, app: App, files: list[File], channels: list[Channel], thread_ts: str, comment: str) -> None:
        await asyncio.sleep(self.state.options.share_delay_s)
        for channel in channels:
            if thread_ts and thread_ts not in channel.messages:
                continue  # deleted meanwhile
            message = Message(
                channel=channel.id, ts="", text=comment, files=files, user=app.bot_user, bot_id=app.bot_id,
                app_id=app.id, subtype="file_share", thread_ts=thread_ts,
            )  # fmt: skip
            message.more["upload"] = True
            message.ts = self.state.ids.ts()
            for file in files:
                file.shares.setdefault(channel.id, []).append(message.ts)
                if channel.type != "channel":
                    file.private_channels.add(channel.id)
            self.state.post(channel, message)
            for file in files:
                self.state.changes.note("file", channel=channel.id, ts=message.ts, detail=file.id)
