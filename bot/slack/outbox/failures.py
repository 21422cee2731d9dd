"""Why Slack did not take something, and what that means for the message: was it executed, does trying again help?

Sources: the errors of each method at https://docs.slack.dev/reference/methods, among them that after `internal_error`
and `fatal_error` "it's possible some aspect of the operation succeeded"; and aiohttp's exceptions.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, cast

import aiohttp
from slack_sdk.errors import SlackApiError

from bot.domain.errors import bounded

_DEFAULT_RETRY_AFTER_S = 10.0
_MAX_RETRY_AFTER_S = 300.0
"""Whoever asks again sooner than Slack said is refused again; below the store's FARTHEST_S."""


class Trouble(Enum):
    """What kind of failure it is. Only after `LOST` and `CRASHED` the message may be in Slack."""

    RATE_LIMITED = auto()
    UNREACHED = auto()
    """Slack never got the request, or said that it did nothing with it for now."""
    LOST = auto()
    """The request may have been executed: its reply was lost, or Slack broke down over it."""
    CRASHED = auto()
    """Our own code failed."""
    NOT_AUTHORIZED = auto()
    """The app, not the message: token or scopes."""
    BLOCKS = auto()
    TOO_LONG = auto()
    NO_THREAD = auto()
    """The message to reply to is gone."""
    NOT_INVITED = auto()
    DONE = auto()
    """It was so already."""
    PASSING = auto()
    """Refused, and perhaps not the next time."""
    REFUSED = auto()
    """Refused for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A failure, judged."""

    trouble: Trouble
    reason: str
    """Slack's word for it, or ours."""
    retry_after_s: float = 0.0
    detail: str = ""
    """What else Slack said: which block, and why."""

    @property
    def is_uncertain(self) -> bool:
        """The message may be in Slack."""
        return self.trouble in {Trouble.LOST, Trouble.CRASHED}


class RefusedError(Exception):
    """Something beside the Web API (an upload, a response URL) was refused."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.reason)
        self.failure = failure


_WORDS: dict[Trouble, tuple[str, ...]] = {
    Trouble.RATE_LIMITED: ("ratelimited", "rate_limited", "message_limit_exceeded"),
    Trouble.UNREACHED: ("service_unavailable", "request_timeout", "team_added_to_org"),
    Trouble.LOST: ("internal_error", "fatal_error"),
    Trouble.NOT_AUTHORIZED: (
        "invalid_auth", "not_authed", "account_inactive", "token_revoked", "token_expired", "missing_scope",
        "no_permission", "not_allowed_token_type", "org_login_required", "ekm_access_denied", "access_denied",
        "team_access_not_granted", "two_factor_setup_required", "accesslimited",
    ),
    Trouble.BLOCKS: (
        "invalid_blocks", "invalid_blocks_format", "block_mismatch", "msg_blocks_too_long", "invalid_attachments",
        "invalid_arguments",
    ),
    Trouble.TOO_LONG: ("msg_too_long",),
    Trouble.NO_THREAD: ("thread_not_found", "cannot_reply_to_message", "invalid_thread_ts"),
    Trouble.NOT_INVITED: ("not_in_channel", "channel_not_found"),
    Trouble.DONE: ("already_reacted", "no_reaction"),
    Trouble.REFUSED: (
        "is_archived", "is_inactive", "no_text", "message_not_found", "cant_update_message", "edit_window_closed",
        "metadata_too_large", "invalid_metadata_format", "invalid_metadata_schema", "user_not_in_channel",
        "invalid_name", "too_many_reactions", "too_many_emoji", "bad_timestamp", "invalid_arg_name",
        "file_uploads_disabled", "file_uploads_except_images_disabled", "storage_limit_reached",
        "posting_to_channel_denied", "thread_locked", "message_locked",
    ),
}  # fmt: skip
_TROUBLES = {word: trouble for trouble, words in _WORDS.items() for word in words}


def classify(error: Exception) -> Failure:
    """What an exception from a call means."""
    match error:
        case RefusedError():
            return error.failure
        case SlackApiError():
            return _judge_answer(error)
        case aiohttp.ClientConnectorError() | aiohttp.ConnectionTimeoutError():
            return Failure(trouble=Trouble.UNREACHED, reason=_name(error))
        case aiohttp.ClientError() | TimeoutError() | OSError():
            return Failure(trouble=Trouble.LOST, reason=_name(error))
        case _:
            return Failure(trouble=Trouble.CRASHED, reason=_name(error))


def classify_status(status: int, headers: Mapping[str, str], *, otherwise: Trouble, reason: str = "") -> Failure:
    """What an HTTP status means by itself; `otherwise` when it means nothing for all requests alike."""
    if status == 429:
        return Failure(trouble=Trouble.RATE_LIMITED, reason="ratelimited", retry_after_s=_retry_after_s(headers))
    if status >= 500 or status == 408:
        return Failure(trouble=Trouble.LOST, reason=f"HTTP {status}")
    return Failure(trouble=otherwise, reason=reason or f"HTTP {status}")


def named_in(text: str, *, otherwise: Trouble) -> Trouble:
    """What kind of failure a body tells of that is no answer of the Web API: `invalid_blocks` as such, or in JSON."""
    return next((_TROUBLES[word] for word in re.findall(r"[a-z_]+", text) if word in _TROUBLES), otherwise)


def _judge_answer(error: SlackApiError) -> Failure:
    answer = cast("Any", error.response)  # Slack's, or aiohttp's for what is no JSON
    status = int(getattr(answer, "status_code", 0) or getattr(answer, "status", 0) or 0)
    headers = cast("Mapping[str, str]", getattr(answer, "headers", None) or {})
    data: object = getattr(answer, "data", None)
    word = str(cast("Mapping[str, object]", data).get("error") or "") if isinstance(data, dict) else ""
    if status == 429 or status >= 500 or (status != 200 and not word):  # 403, 407: a proxy says no, not Slack
        return classify_status(status, headers, otherwise=Trouble.UNREACHED)
    if word.startswith("restricted_action"):
        return Failure(trouble=Trouble.REFUSED, reason=word)
    if trouble := _TROUBLES.get(word):
        wait_s = _retry_after_s(headers) if trouble is Trouble.RATE_LIMITED else 0.0
        return Failure(trouble=trouble, reason=word, retry_after_s=wait_s, detail=_detail(cast("Any", data)))
    if not word and status == 200:  # a proxy's page, or half an answer
        return Failure(trouble=Trouble.LOST, reason="an answer that is none of Slack's")
    return Failure(trouble=Trouble.PASSING, reason=word)


def _detail(data: Mapping[str, Any]) -> str:
    metadata = cast("Mapping[str, Any]", data.get("response_metadata") or {})
    said = [*cast("list[object]", data.get("errors") or []), *cast("list[object]", metadata.get("messages") or [])]
    return bounded("; ".join(map(str, said)))


def _retry_after_s(headers: Mapping[str, str]) -> float:
    """Header names differ in case, depending on who made the mapping."""
    text = next((value for name, value in headers.items() if name.lower() == "retry-after"), "")
    try:
        asked = float(text)
    except ValueError:
        return _DEFAULT_RETRY_AFTER_S
    return min(max(asked, 1.0), _MAX_RETRY_AFTER_S) if asked == asked else _DEFAULT_RETRY_AFTER_S  # noqa: PLR0124 not NaN


def _name(error: Exception) -> str:
    return type(error).__name__
