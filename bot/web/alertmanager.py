"""`POST /alertmanager`: Alertmanager's webhook over HTTP. Who may, how much, and what is answered.

A sender tries again after 5xx only; after 4xx, 429 too, the alerts are lost. So whatever may pass is answered with 503.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import hashlib
import hmac
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import structlog
from prometheus_client import Counter, Histogram

from bot.alerts.payload import NotAPayloadError
from bot.incidents.alerting.intake import Accepted
from bot.incidents.clusters import UnknownClusterError
from bot.store import StoreUnavailableError

log = structlog.get_logger()

MAX_BODY_BYTES = 8 * 2**20
"""About 5,000 alerts; `max_alerts` of the receiver keeps a notification below."""
SIGNATURES = ("x-cnibot-signature", "x-grafana-alerting-signature")
"""Headers that hold the HMAC-SHA256 of the body in hexadecimal digits, with or without "sha256=" before it."""

SECONDS = Histogram(
    "cnibot_alertmanager_request_seconds",
    "From a notification's whole body to the answer, the store included.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.0),
)
RECEIVED = Counter(
    "cnibot_alerts_received_total", "Alerts that Alertmanager's webhook brought: new, or known already.", ("outcome",)
)


class Taking(Protocol):
    """What keeps the alerts."""

    async def __call__(self, body: bytes, cluster: str | None) -> Accepted:
        """Kept when this returns."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The webhook and how its senders are known, in at least one of three ways."""

    take: Taking
    token: str = ""
    """The bearer token."""
    hmac_secret: str = ""
    knows_certificates: bool = False
    """Whether a certificate of the authority that the server trusts is enough."""

    def __post_init__(self) -> None:
        if not (self.token or self.hmac_secret or self.knows_certificates):
            raise ValueError("a webhook without a secret would be open to everybody")

    @property
    def needs_body(self) -> bool:
        """Whether a sender may only be known by what it sent."""
        return bool(self.hmac_secret)

    def is_token(self, headers: Mapping[str, str]) -> bool:
        """Whether the request carries the token."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        is_bearer = scheme.lower() == "bearer" and bool(self.token)
        return is_bearer and hmac.compare_digest(given.strip().encode(), self.token.encode())

    def is_signed(self, headers: Mapping[str, str], body: bytes) -> bool:
        """Whether the body carries a signature by the secret."""
        given = next((headers[name] for name in SIGNATURES if name in headers), "").strip().removeprefix("sha256=")
        if not (given and self.hmac_secret):
            return False
        wanted = hmac.new(self.hmac_secret.encode(), body, hashlib.sha256).hexdigest()
        return hmac.compare_digest(given.lower().encode(), wanted.encode())

    async def answer(self, body: bytes, cluster: str | None) -> tuple[int, str]:
        """Status and text for a request that may be taken."""
        try:
            accepted = await self.take(body, cluster)
        except (NotAPayloadError, UnknownClusterError) as error:
            log.warning("alertmanager.refused", why=str(error))
            return 400, f"{error}\n"
        except StoreUnavailableError as error:
            log.warning("alertmanager.not_kept", why=str(error))
            return 503, "The alerts cannot be kept now; send them again.\n"
        RECEIVED.labels("new").inc(accepted.new)
        RECEIVED.labels("known").inc(accepted.known)
        return 200, f"{accepted.new} new, {accepted.known} known.\n"


ReadBody = Callable[[int], Awaitable[bytes | None]]
"""The body up to so many bytes; None when it is larger."""


async def respond(
    webhook: Webhook,
    headers: Mapping[str, str],
    cluster: str | None,
    read: ReadBody,
    *,
    has_certificate: bool = False,
) -> tuple[int, str]:
    """Status and text. Who has no right to be here has no body read, unless a signature may give it.

    `has_certificate`: the connection's client showed one of the authority that is trusted.
    """
    is_known = webhook.is_token(headers) or (webhook.knows_certificates and has_certificate)
    if not is_known and not (webhook.needs_body and any(name in headers for name in SIGNATURES)):
        return 401, "Send the bearer token of CNIBOT_ALERTMANAGER_TOKEN, a signature, or a client certificate.\n"
    body = await read(MAX_BODY_BYTES)
    if body is None:
        log.warning("alertmanager.too_large", limit=MAX_BODY_BYTES)
        return 413, f"More than {MAX_BODY_BYTES >> 20} MiB: set max_alerts for this receiver.\n"
    if not (is_known or webhook.is_signed(headers, body)):
        return 401, "The signature is not that of the body.\n"
    with SECONDS.time():
        return await webhook.answer(body, cluster)
