"""The calls to Slack that the outbox makes: one request each, bounded in time, never repeated behind our back."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Literal, cast

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.domain.outgoing import Content
from bot.slack.outbox.failures import Failure, RefusedError, Trouble, classify, classify_status, named_in

METADATA = "cnibot_message"
"""The event type of the metadata that carries a message's key. Anybody in the workspace can read it."""

UPLOAD_S = 60.0
"""One upload: megabytes take longer than a message."""

_PAGE = 200
_PAGES = 10

Answer = Mapping[str, Any]


class Calls:
    """Slack, as the outbox uses it. Errors of all: see `failures.classify`."""

    def __init__(self, client: AsyncWebClient, *, request_s: float) -> None:
        if client.session is None:
            raise TypeError("The outbox needs a client with a session (open_client): else each call opens its own.")
        self._client = client
        self._session: aiohttp.ClientSession = client.session
        self._request_s = request_s

    async def post(self, channel: str, thread: str, content: Content, key: str) -> tuple[str, str]:
        """The ts of the new message, and the thread it is in.

        That is "" although one was asked for, where the thread's first message was deleted: Slack says nothing of it.
        """
        body = _body(channel, thread, content)
        body["metadata"] = {"event_type": METADATA, "event_payload": {"key": key}}
        body |= {"unfurl_links": False, "unfurl_media": False}
        answer = await self._call("chat.postMessage", body)
        ts, message = str(answer["ts"]), cast("Answer", answer.get("message") or {})
        found = str(message.get("thread_ts") or "")
        return ts, "" if found == ts else found

    async def remove(self, channel: str, ts: str) -> None:
        """The message is gone when this returns."""
        try:
            await self._call("chat.delete", {"channel": channel, "ts": ts})
        except SlackApiError as error:
            if classify(error).reason != "message_not_found":
                raise

    async def ephemeral(self, channel: str, thread: str, content: Content, user: str) -> str:
        """The ts of the new message, by which nothing can be done with it."""
        body = {**_body(channel, thread, content), "user": user}
        return str((await self._call("chat.postEphemeral", body)).get("message_ts") or "")

    async def update(self, channel: str, ts: str, content: Content) -> None:
        """Text without blocks removes the blocks that were there."""
        await self._call("chat.update", {**_body(channel, "", content), "ts": ts})

    async def react(self, channel: str, ts: str, name: str) -> None:
        """Add a reaction."""
        await self._call("reactions.add", {"channel": channel, "timestamp": ts, "name": name}, how="form")

    async def unreact(self, channel: str, ts: str, name: str) -> None:
        """The reaction is not there when this returns."""
        try:
            await self._call("reactions.remove", {"channel": channel, "timestamp": ts, "name": name}, how="form")
        except SlackApiError as error:
            if classify(error).trouble is not Trouble.DONE:
                raise

    async def upload(self, filename: str, alt_text: str, content: bytes) -> str:
        """The id of a file that Slack has, and shows to nobody yet."""
        asked: dict[str, Any] = {"filename": filename, "length": len(content)}
        if alt_text:
            asked["alt_txt"] = alt_text
        answer = await self._call("files.getUploadURLExternal", asked, how="form")
        try:
            await self._upload(str(answer["upload_url"]), content)
        except TimeoutError as error:  # the file, not Slack: the step before went well
            raise RefusedError(Failure(trouble=Trouble.PASSING, reason="the upload took too long")) from error
        return str(answer["file_id"])

    async def _upload(self, url: str, content: bytes) -> None:
        timeout = aiohttp.ClientTimeout(total=UPLOAD_S)
        async with self._session.post(url, data=content, proxy=self._client.proxy, timeout=timeout) as taken:
            await taken.read()
            if taken.status != 200:
                raise RefusedError(classify_status(taken.status, taken.headers, otherwise=Trouble.PASSING))

    async def show_file(self, file_id: str, title: str, channel: str, thread: str, comment: str) -> None:
        """Post an uploaded file."""
        body = {"files": json.dumps([{"id": file_id, "title": title}]), "channel_id": channel}
        body |= {"thread_ts": thread} if thread else {}
        body |= {"initial_comment": comment} if comment else {}
        await self._call("files.completeUploadExternal", body, how="form")

    async def is_file_shown(self, file_id: str, channel: str) -> bool:
        """Whether the file is in the channel."""
        answer = await self._call("files.info", {"file": file_id}, how="get")
        file = cast("Answer", answer.get("file") or {})
        shares = cast("Mapping[str, Mapping[str, object]]", file.get("shares") or {})
        places = {place for kind in shares.values() for place in kind}
        places |= {place for name in ("channels", "groups", "ims") for place in cast("list[str]", file.get(name) or [])}
        return channel in places

    async def find(self, channel: str, thread: str, key: str, *, since: float) -> str | None:
        """The ts of our message with this key, posted at `since` or later; None: it is not there."""
        async for message in self._messages(channel, thread, since):
            metadata = cast("Answer", message.get("metadata") or {})
            payload = cast("Answer", metadata.get("event_payload") or {})
            if metadata.get("event_type") == METADATA and payload.get("key") == key:
                return str(message["ts"])
        return None

    async def respond(self, url: str, content: Content) -> None:
        """Say something to the person whose command this URL came with: 5 times, within 30 minutes."""
        body = {"response_type": "ephemeral", "replace_original": False, **_said(content)}
        async with (
            asyncio.timeout(self._request_s),
            self._session.post(url, json=body, proxy=self._client.proxy) as taken,
        ):
            word = (await taken.text())[:100]
            if taken.status != 200:
                otherwise, why = named_in(word, otherwise=Trouble.REFUSED), f"response_url: {word or taken.status}"
                raise RefusedError(classify_status(taken.status, taken.headers, otherwise=otherwise, reason=why))

    async def _messages(self, channel: str, thread: str, since: float) -> AsyncIterator[Answer]:
        asked: dict[str, Any] = {
            "channel": channel, "oldest": f"{since:.6f}", "limit": _PAGE, "include_all_metadata": True,
        }  # fmt: skip
        if thread:
            asked["ts"] = thread
        method = "conversations.replies" if thread else "conversations.history"
        for _ in range(_PAGES):
            answer = await self._call(method, asked, how="get")
            for message in cast("Sequence[Answer]", answer.get("messages") or ()):
                yield message
            cursor = cast("Answer", answer.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                return
            asked["cursor"] = cursor

    async def _call(self, method: str, body: dict[str, Any], how: Literal["json", "form", "get"] = "json") -> Answer:
        call = self._client.api_call  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType] bare dicts
        async with asyncio.timeout(self._request_s):
            match how:
                case "json":
                    answer = await call(method, json=body)
                case "form":
                    answer = await call(method, data=body)
                case "get":
                    answer = await call(method, http_verb="GET", params=body)
        return cast("Answer", answer.data)  # pyright: ignore[reportUnknownMemberType] a bare dict


def _body(channel: str, thread: str, content: Content) -> dict[str, Any]:
    body: dict[str, Any] = {"channel": channel, **_said(content)}
    if thread:
        body["thread_ts"] = thread
    return body


def _said(content: Content) -> dict[str, Any]:
    said: dict[str, Any] = {"text": content.text}
    if content.blocks:
        said["blocks"] = [dict(block) for block in content.blocks]
    return said
