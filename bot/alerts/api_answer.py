"""Alertmanager's own API, version 2: what `GET /api/v2/alerts` answers, as alerts.

Source: https://github.com/prometheus/alertmanager (api/v2/openapi.yaml)
"""

from dataclasses import dataclass
from typing import Literal

import msgspec

from bot.alerts.payload import bounded_alert
from bot.domain.alert import Alert
from bot.domain.errors import BotError, bounded


class NotAnAnswerError(BotError):
    """What answered is no Alertmanager."""

    def __init__(self, why: str) -> None:
        super().__init__(f"This is no answer of Alertmanager's API: {bounded(why)}.")


class _Status(msgspec.Struct):
    state: Literal["active", "suppressed", "unprocessed"]


class _ListedAlert(msgspec.Struct, rename="camel"):
    labels: dict[str, str]
    status: _Status
    annotations: dict[str, str] | None = None
    starts_at: str = ""
    generator_url: str = msgspec.field(default="", name="generatorURL")
    fingerprint: str = ""


_DECODER = msgspec.json.Decoder(list[_ListedAlert])


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedAlert:
    """An alert that Alertmanager knows. What has ended it does not list."""

    alert: Alert
    is_active: bool
    """Nobody silenced it, nothing inhibits it: people are notified of it."""


def read_alerts(body: bytes) -> tuple[ListedAlert, ...]:
    """The alerts in an answer. Errors: `NotAnAnswerError`."""
    try:
        found = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAnAnswerError(str(error)) from error
    return tuple(ListedAlert(alert=_alert(one), is_active=one.status.state == "active") for one in found)


def _alert(one: _ListedAlert) -> Alert:
    """`endsAt` of an alert that fires is when Alertmanager would give it up, so it is left out."""
    return bounded_alert(
        status="firing",
        labels=one.labels,
        annotations=one.annotations or {},
        starts_at=one.starts_at,
        generator_url=one.generator_url,
        fingerprint=one.fingerprint,
    )
