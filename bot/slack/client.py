"""How the bot talks to Slack's Web API: one client, one session, deadlines, no request sent twice behind our back."""

import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.http_retry.async_handler import AsyncRetryHandler
from slack_sdk.http_retry.request import HttpRequest
from slack_sdk.http_retry.response import HttpResponse
from slack_sdk.http_retry.state import RetryState
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.metrics import CALL_SECONDS

TOO_MANY, FAILED = 429, 500
REQUEST_TIMEOUT_S = 10.0
"""One request, from connecting to the last byte of the answer."""

_READS = frozenset({"get", "info", "list", "members", "replies", "history", "test", "open", "getPermalink"})
_NOT_READS = frozenset({"views.open", "conversations.open"})


def is_repeatable(url: str) -> bool:
    """Whether the method changes nothing that a second call would change again."""
    method = urlsplit(url).path.rsplit("/", 1)[-1]
    return method.rsplit(".", 1)[-1] in _READS and method not in _NOT_READS


class RepeatReads(AsyncRetryHandler):
    """Asks once more when a connection broke under a read.

    The SDK's own handler repeats posts too: a message whose reply got lost is then in the channel twice.
    """

    def __init__(self) -> None:
        super().__init__(max_retry_count=1)

    async def _can_retry_async(
        self,
        *,
        state: RetryState,
        request: HttpRequest,
        response: HttpResponse | None = None,
        error: Exception | None = None,
    ) -> bool:
        del state, response
        return isinstance(error, aiohttp.ClientConnectionError) and is_repeatable(request.url)


def _timed() -> aiohttp.TraceConfig:
    """Measures each call."""

    async def began(_: aiohttp.ClientSession, context: SimpleNamespace, __: aiohttp.TraceRequestStartParams) -> None:
        context.began = time.perf_counter()

    def observe(context: SimpleNamespace, url: str, outcome: str) -> None:
        seconds = time.perf_counter() - context.began
        CALL_SECONDS.labels(_method_of(url), outcome).observe(seconds)

    async def answered(_: aiohttp.ClientSession, context: SimpleNamespace, end: aiohttp.TraceRequestEndParams) -> None:
        status = end.response.status
        observe(
            context, str(end.url), "limited" if status == TOO_MANY else "failed" if status >= FAILED else "answered"
        )

    async def failed(
        _: aiohttp.ClientSession, context: SimpleNamespace, end: aiohttp.TraceRequestExceptionParams
    ) -> None:
        observe(context, str(end.url), "failed")

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(began)
    trace.on_request_end.append(answered)
    trace.on_request_exception.append(failed)
    return trace


def _method_of(url: str) -> str:
    """The method's name ("chat.postMessage"), `upload` for an address that Slack gave us for a file, else `other`."""
    *_, parent, name = ("", *urlsplit(url).path.split("/"))
    if parent == "api":
        return name
    return "upload" if "upload" in urlsplit(url).path else "other"


@asynccontextmanager
async def open_client(
    token: str, *, base_url: str = AsyncWebClient.BASE_URL, timeout_s: float = REQUEST_TIMEOUT_S
) -> AsyncGenerator[AsyncWebClient]:
    """The client that everything shares. 429 and lost connections are errors that the caller sees.

    Proxies come from the environment, NO_PROXY included, which the SDK alone would not read.
    """
    timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(timeout_s, 5.0))
    connector = aiohttp.TCPConnector(keepalive_timeout=15)  # below any server's own: few dead connections
    async with aiohttp.ClientSession(
        timeout=timeout, connector=connector, trust_env=True, trace_configs=[_timed()]
    ) as session:
        client = AsyncWebClient(
            token=token, base_url=base_url, session=session, timeout=int(timeout_s), retry_handlers=[RepeatReads()]
        )
        client.proxy = None  # the session decides, by address; the SDK has taken HTTPS_PROXY for every address
        yield client
