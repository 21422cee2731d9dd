"""Alertmanager's webhook, version 4: bytes to alerts. Fields that are not known here are allowed and not kept.

What is too long is cut, not refused: Alertmanager drops a notification that gets a 4xx.

Source: https://prometheus.io/docs/alerting/latest/configuration/#webhook_config
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import msgspec

from bot.domain.alert import Alert, AlertStatus
from bot.domain.errors import BotError, bounded

MAX_LABELS = 64
MAX_LABEL_NAME = 128
MAX_LABEL_VALUE = 512
MAX_ANNOTATIONS = 16
MAX_ANNOTATION = 2_000
MAX_URL = 2_000
_ZERO_TIME = "0001-01-01T00:00:00Z"
"""Go's zero time: the end of an alert that fires."""
_FINGERPRINT = re.compile(r"[0-9a-f]{1,64}")


class NotAPayloadError(BotError):
    """The body is no notification of Alertmanager's."""

    def __init__(self, why: str) -> None:
        super().__init__(f"This is no webhook payload of Alertmanager: {bounded(why)}.")
        self.why = why


class WebhookAlert(msgspec.Struct, rename="camel"):
    """One alert of a notification. Further fields are allowed."""

    status: Literal["firing", "resolved"]
    labels: dict[str, str]
    annotations: dict[str, str] | None = None
    starts_at: str = ""
    ends_at: str = ""
    generator_url: str = msgspec.field(default="", name="generatorURL")
    fingerprint: str = ""


class WebhookPayload(msgspec.Struct, rename="camel"):
    """A notification of Alertmanager's webhook, version 4. Further fields are allowed."""

    alerts: list[WebhookAlert]
    receiver: str = ""
    group_key: str = ""
    external_url: str = msgspec.field(default="", name="externalURL")
    truncated_alerts: int = 0


_DECODER = msgspec.json.Decoder(WebhookPayload)


def payload_schemas(ref_template: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON Schema of a body, and the schemas that it refers to, by name."""
    (schema,), components = msgspec.json.schema_components((WebhookPayload,), ref_template=ref_template)
    return schema, components


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One delivery: the alerts of one group."""

    alerts: tuple[Alert, ...]
    receiver: str = ""
    group_key: str = ""
    external_url: str = ""
    truncated: int = 0
    """Alerts that Alertmanager left out (`max_alerts`)."""


def read_notification(body: bytes) -> Notification:
    """The notification in a request's body. Errors: `NotAPayloadError`."""
    try:
        wire = _DECODER.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise NotAPayloadError(str(error)) from error
    return Notification(
        alerts=tuple(map(_alert, wire.alerts)),
        receiver=_unquoted(wire.receiver)[:MAX_LABEL_VALUE],
        group_key=wire.group_key[:MAX_URL],
        external_url=wire.external_url[:MAX_URL],
        truncated=max(wire.truncated_alerts, 0),
    )


def _alert(wire: WebhookAlert) -> Alert:
    return bounded_alert(
        status=wire.status,
        labels=wire.labels,
        annotations=wire.annotations or {},
        starts_at=wire.starts_at,
        ends_at="" if wire.ends_at == _ZERO_TIME else wire.ends_at,
        generator_url=wire.generator_url,
        fingerprint=wire.fingerprint,
    )


def bounded_alert(
    *,
    status: AlertStatus,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    starts_at: str,
    ends_at: str = "",
    generator_url: str,
    fingerprint: str,
) -> Alert:
    """The alert, as much of it as is kept."""
    given = fingerprint.lower()
    return Alert(
        fingerprint=given if _FINGERPRINT.fullmatch(given) else _fingerprint(labels),
        status=status,
        starts_at=starts_at[:40],
        ends_at=ends_at[:40],
        labels=_cut(labels, MAX_LABELS, MAX_LABEL_VALUE),
        annotations=_cut(annotations, MAX_ANNOTATIONS, MAX_ANNOTATION),
        generator_url=generator_url[:MAX_URL],
    )


def _cut(values: Mapping[str, str], most: int, longest: int) -> dict[str, str]:
    """At most so many; `alertname` and the rest in the order of their names, so that the same ones stay each time."""
    chosen = sorted(values, key=lambda name: (name != "alertname", name))
    return {name[:MAX_LABEL_NAME]: values[name][:longest] for name in islice(chosen, most)}


def _fingerprint(labels: Mapping[str, str]) -> str:
    """One of our own, for senders that give none."""
    parts = "".join(f"{len(name)}:{name}={len(labels[name])}:{labels[name]};" for name in sorted(labels))
    return hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def _unquoted(receiver: str) -> str:
    r"""Alertmanager escapes a receiver's name as for a regular expression: "cni\.bot"."""
    return re.sub(r"\\(.)", r"\1", receiver)
