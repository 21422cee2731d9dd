"""What each failure means."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.web.async_slack_response import AsyncSlackResponse

from bot.slack.outbox.failures import Failure, RefusedError, Trouble, classify


def answered(status: int, data: Any, headers: dict[str, str] | None = None) -> Failure:
    """What is made of an answer, by way of the SDK's own exception."""
    response = AsyncSlackResponse(
        client=AsyncWebClient(), http_verb="POST", api_url="http://slack/api/x", req_args={}, data=data,
        headers=headers or {}, status_code=status,
    )  # fmt: skip
    with pytest.raises(SlackApiError) as caught:
        response.validate()
    return classify(caught.value)


@pytest.mark.parametrize(
    ("status", "data", "trouble", "reason"),
    [
        (429, {"ok": False, "error": "ratelimited"}, Trouble.RATE_LIMITED, "ratelimited"),
        (500, {"ok": False, "error": "internal_error"}, Trouble.LOST, "HTTP 500"),
        (502, {}, Trouble.LOST, "HTTP 502"),
        (503, "<html>", Trouble.LOST, "HTTP 503"),
        (200, {}, Trouble.LOST, "an answer that is none of Slack's"),
        (200, {"ok": False, "error": "fatal_error"}, Trouble.LOST, "fatal_error"),
        (200, {"ok": False, "error": "invalid_blocks"}, Trouble.BLOCKS, "invalid_blocks"),
        (200, {"ok": False, "error": "msg_too_long"}, Trouble.TOO_LONG, "msg_too_long"),
        (200, {"ok": False, "error": "not_in_channel"}, Trouble.NOT_INVITED, "not_in_channel"),
        (200, {"ok": False, "error": "channel_not_found"}, Trouble.NOT_INVITED, "channel_not_found"),
        (200, {"ok": False, "error": "is_archived"}, Trouble.REFUSED, "is_archived"),
        (200, {"ok": False, "error": "restricted_action_thread_only_channel"}, Trouble.REFUSED,
         "restricted_action_thread_only_channel"),
        (200, {"ok": False, "error": "invalid_auth"}, Trouble.NOT_AUTHORIZED, "invalid_auth"),
        (200, {"ok": False, "error": "already_reacted"}, Trouble.DONE, "already_reacted"),
        (200, {"ok": False, "error": "service_unavailable"}, Trouble.UNREACHED, "service_unavailable"),
        (200, {"ok": False, "error": "new_in_2027"}, Trouble.PASSING, "new_in_2027"),
        (403, {}, Trouble.UNREACHED, "HTTP 403"),
    ],
)  # fmt: skip
def test_answers(status: int, data: Any, trouble: Trouble, reason: str) -> None:
    failure = answered(status, data)

    assert (failure.trouble, failure.reason) == (trouble, reason)


@pytest.mark.parametrize(
    ("header", "wait_s"), [("30", 30), ("0", 1), ("-5", 1), ("soon", 10), ("nan", 10), ("inf", 300), ("1e9", 300)]
)
def test_retry_after_is_honoured_within_reason(header: str, wait_s: float) -> None:
    failure = answered(429, {"ok": False}, {"retry-after": header})

    assert failure.retry_after_s == wait_s


def test_a_429_without_retry_after_still_waits() -> None:
    assert answered(429, {"ok": False}).retry_after_s == 10


def test_slack_says_which_block_it_did_not_like() -> None:
    data = {
        "ok": False,
        "error": "invalid_blocks",
        "errors": ["unsupported type: x [json-pointer:/blocks/0/type]"],
        "response_metadata": {"messages": ["[ERROR] no more than 50 items allowed"]},
    }

    assert answered(200, data).detail == (
        "unsupported type: x [json-pointer:/blocks/0/type]; [ERROR] no more than 50 items allowed"
    )


@pytest.mark.parametrize(
    ("error", "trouble"),
    [
        (aiohttp.ConnectionTimeoutError(), Trouble.UNREACHED),
        (aiohttp.ServerDisconnectedError(), Trouble.LOST),
        (aiohttp.ClientOSError(104, "reset"), Trouble.LOST),
        (aiohttp.ClientPayloadError("half"), Trouble.LOST),
        (TimeoutError(), Trouble.LOST),
        (RefusedError(Failure(trouble=Trouble.UNREACHED, reason="x")), Trouble.UNREACHED),
        (KeyError("ts"), Trouble.CRASHED),
        (AttributeError("get"), Trouble.CRASHED),
    ],
)
def test_exceptions(error: Exception, trouble: Trouble) -> None:
    assert classify(error).trouble is trouble


async def test_nobody_at_home_is_told_apart_from_a_lost_reply(unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientError) as caught:
            await session.post(f"http://127.0.0.1:{unused_tcp_port}/")

    assert classify(caught.value) == Failure(trouble=Trouble.UNREACHED, reason="ClientConnectorError")
