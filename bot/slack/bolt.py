"""The Bolt app: whatever Slack sends is kept in the inbox, and acknowledged only then.

Bolt verifies signatures, answers Slack's own checks and drops what our own messages echo. After that comes one
middleware and no listener at all: it writes the body to the inbox and answers. So nothing is left without an answer
(Bolt gives 404 to what no listener matches), no answer is lost to an error after it (Bolt takes an acknowledgement back
when a listener fails within ten milliseconds of it), and nothing runs in tasks that nobody owns. Who works on it is the
inbox's worker, in this process or in the next.

A store that cannot be reached raises, Bolt answers 500 (in Socket Mode: not at all), and Slack sends again.

Source: https://docs.slack.dev/apis/events-api/#retries
"""

import os
from collections.abc import Awaitable, Callable, Container, Mapping
from copy import copy
from time import perf_counter
from typing import Any, Protocol

import structlog
from slack_bolt.app.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_bolt.authorization.async_authorize import AsyncAuthorize
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.alerts.extractors import NO_EXTRACTORS, Extractor
from bot.slack.identity import Identity, WhoAmI
from bot.slack.incoming import Received, is_own_edit, received, sender, storable
from bot.slack.metrics import ACK_SECONDS, RECEIVED
from bot.slack.scopes import EVENT_SCOPES
from bot.store.inbox.inbox import Kind, TooManyError

log = structlog.get_logger()


Asking = Callable[[], Awaitable[Identity]]


class Accepting(Protocol):
    """The inbox, as far as it takes things in."""

    async def accept(self, dedup_id: str, kind: Kind, body: Mapping[str, Any], *, owner: str = "") -> bool:
        """Whether it is new; kept when this returns."""
        ...


def build_app(
    client: AsyncWebClient,
    *,
    signing_secret: str,
    inbox: Accepting,
    who_am_i: Asking | None = None,
    events: Container[str] = EVENT_SCOPES,
    extractors: Mapping[str, Extractor] = NO_EXTRACTORS,
) -> AsyncApp:
    """The app for both transports. `client` is the one that everything shares; an empty secret refuses all of HTTP.

    Events beside `events` are acknowledged and not kept. `extractors` say by channel what alerts of other senders look
    like.
    """
    for name in ("SLACK_CLIENT_ID", "SLACK_CLIENT_SECRET"):
        os.environ.pop(name, None)  # with both of them Bolt turns to OAuth and drops the token, without a word
    nobody = copy(client)  # same session and settings; the token comes with the authorization, or Bolt warns about two
    nobody.token = None
    app = AsyncApp(
        name="cnibot", client=nobody, signing_secret=signing_secret, authorize=_Installed(who_am_i or WhoAmI(client))
    )
    app.middleware(_Keeping(inbox, events, extractors))  # pyright: ignore[reportUnknownMemberType] Bolt's `*args` are not annotated
    app.error(_failed)
    return app


class _Installed(AsyncAuthorize):
    """The one workspace that the token belongs to.

    Bolt's own way answers 200 when its first auth.test fails, and so loses the event that asked; this one raises.
    """

    def __init__(self, who_am_i: Asking) -> None:
        self._who_am_i = who_am_i

    async def __call__(self, **_: Any) -> AuthorizeResult:
        identity = await self._who_am_i()
        return _authorized(identity)


def _authorized(identity: Identity) -> AuthorizeResult:
    return AuthorizeResult(
        enterprise_id=identity.enterprise_id,
        team_id=identity.team_id,
        bot_id=identity.bot_id,
        bot_user_id=identity.user_id,
        bot_token=identity.token,
    )


class _Keeping(AsyncMiddleware):
    """Keeps what arrives, then acknowledges it."""

    def __init__(self, inbox: Accepting, events: Container[str], extractors: Mapping[str, Extractor]) -> None:
        self._inbox = inbox
        self._events = events
        self._extractors = extractors

    async def async_process(
        self,
        *,
        req: AsyncBoltRequest,
        resp: BoltResponse,
        next: Callable[[], Awaitable[BoltResponse]],  # noqa: A002 Bolt's name
    ) -> BoltResponse:
        """The acknowledgement. Errors: the inbox's own; then there is none."""
        del resp, next
        began = perf_counter()
        body = storable(req.body)
        found = received(body, self._events, self._extractors)
        try:
            outcome, answer_text = await self._keep(found, body, req.context.authorize_result), ""
        except TooManyError as error:
            outcome, answer_text = "refused", str(error)
        answer = await (req.context.ack(options=[]) if found.is_question else req.context.ack(answer_text))
        RECEIVED.labels(found.name, outcome).inc()
        ACK_SECONDS.labels(found.name).observe(perf_counter() - began)
        return answer

    async def _keep(self, found: Received, body: Mapping[str, Any], authorized: AuthorizeResult | None) -> str:
        """What became of it."""
        if found.kind is None or (authorized and is_own_edit(body, authorized.bot_id, authorized.bot_user_id)):
            return "ignored"
        is_new = await self._inbox.accept(found.dedup_id, found.kind, body, owner=sender(body))
        return "new" if is_new else "repeated"


async def _failed(error: Exception, body: dict[str, Any]) -> None:
    """Say that something was not kept. Its body stays out of the log: it is people's words."""
    found = received(body)
    RECEIVED.labels(found.name, "refused").inc()
    log.error("slack.not_kept", kind=found.name, id=found.dedup_id, error=f"{type(error).__name__}: {error}")
