"""The shortcut "Diagnose this alert": which namespace does a message speak of?

Alertmanager's Slack messages hold label values without their names: "[FIRING:2] PodsNotReady shop (web critical)". So
a word counts as a namespace where the message says so ("namespace: shop", a field of that title), else where a cluster
has a namespace of exactly that name. One is diagnosed; of several the person chooses; none is admitted.
"""

import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from bot.domain.authorization import Action
from bot.slack.caller import ephemeral, inside, is_allowed, is_present, of_interaction, permitted
from bot.slack.commands import Diagnose, is_namespace, plain
from bot.slack.handlers.diagnose import diagnose
from bot.slack.services import Services
from bot.slack.views import notices
from bot.store import Entry

MAX_TEXT = 20_000
_NAMED = re.compile(r"\b(?:exported_)?namespace[\"'`*_]*\s*[:=]\s*[\"'`*_]*([a-z0-9][-a-z0-9]{0,62})", re.IGNORECASE)
_CLUSTER = re.compile(r"\bcluster[\"'`*_]*\s*[:=]\s*[\"'`*_]*([A-Za-z0-9][A-Za-z0-9._:@/-]{0,252})", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://\S+")
"""Words in addresses are Alertmanager's, Grafana's or a runbook's, not the alert's."""
_WORD = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What a message says about where something is wrong."""

    named: tuple[str, ...]
    """Namespaces that it calls so, in the order of their appearance."""
    words: tuple[str, ...]
    """All words that could be a namespace's name."""
    cluster: str | None = None


def read(message: Mapping[str, Any]) -> Alert:
    """The alert in a message: fallback, title, text and fields of its attachments, then its own text."""
    texts = [_ADDRESS.sub(" ", plain(text[:MAX_TEXT])) for text in _texts(message)]
    named = [name.lower() for text in texts for name in _NAMED.findall(text)]
    named += [value.strip(" `*_\"'").lower() for title, value in _fields(message) if title.lower() == "namespace"]
    clusters = [name for text in texts for name in _CLUSTER.findall(text)]
    clusters += [value.strip(" `*_\"'") for title, value in _fields(message) if title.lower() == "cluster"]
    return Alert(
        named=tuple(dict.fromkeys(filter(is_namespace, named))),
        words=tuple(dict.fromkeys(word for text in texts for word in _WORD.findall(text.lower()))),
        cluster=clusters[0] if clusters else None,
    )


async def diagnose_message(services: Services, entry: Entry) -> None:
    """Diagnose what the message speaks of, in its thread."""
    caller = of_interaction(entry)
    alert = read(inside(entry.body, "message"))
    if not await is_allowed(services, caller, Action.DIAGNOSE) or not await is_present(services, caller):
        return
    clusters = [name for name in services.service.clusters.names if name.lower() == (alert.cluster or "").lower()]
    cluster = clusters[0] if clusters else None
    if len(alert.named) == 1 and (cluster or services.service.clusters.is_one):
        await diagnose(services, caller, Diagnose(namespace=alert.named[0], cluster=cluster))
        return
    among = [cluster] if cluster else list(services.service.clusters.names)
    existing = [pair async for pair in _existing(services, alert.named or alert.words, among)]
    choices = await permitted(services, caller, Action.DIAGNOSE, existing)
    if len(choices) == 1:
        await diagnose(services, caller, Diagnose(namespace=choices[0][1], cluster=choices[0][0]))
        return
    content = notices.which_namespace(choices, was_named=bool(alert.named))
    await ephemeral(services, caller, "which", content)


async def _existing(
    services: Services, words: Iterable[str], clusters: Iterable[str]
) -> AsyncIterator[tuple[str, str]]:
    """The words that are names of namespaces, as (cluster, namespace)."""
    for cluster in clusters:
        known = set(await services.service.namespaces(cluster, within_s=0.5) or ())
        for word in words:
            if word in known:
                yield cluster, word


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    for attachment in _listed(message.get("attachments")):
        for key in ("fallback", "title", "pretext", "text"):
            yield str(attachment.get(key) or "")
        yield from (f"{title}: {value}" for title, value in _pairs(attachment))
    yield str(message.get("text") or "")


def _fields(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for attachment in _listed(message.get("attachments")):
        yield from _pairs(attachment)


def _pairs(attachment: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field in _listed(attachment.get("fields")):
        yield str(field.get("title") or "").strip(), plain(str(field.get("value") or ""))[:200]


def _listed(value: object) -> list[Mapping[str, Any]]:
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", each) for each in found[:100] if isinstance(each, Mapping)]
