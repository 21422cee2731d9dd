"""Alertmanager's own messages in Slack: what they say, and which alerts they are about.

The default template gives the values of labels without their names: "[FIRING:2] KubePodNotReady shop (web critical)".
The fallback keeps that form where people override the title, so it is read first. Other forms are read as far as they
name labels: fields of that title, or lines such as "*alertname:* `X`".

Source: https://github.com/prometheus/alertmanager (notify/slack/slack.go, template/default.tmpl)
"""

import hashlib
import html
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from bot.alerts.components import component_of
from bot.alerts.extractors import LABELS, Extractor
from bot.domain.alert import Alert, AlertStatus

MAX_TEXT = 4_000
MAX_TOKENS = 64
_ALIASES = {"alert": "alertname", "alert name": "alertname"}
_STATUS = re.compile(
    r"(?:\W{0,9}:[\w+-]{1,60}:){0,4}\W{0,9}\[(?P<status>FIRING|RESOLVED)(?::\d{1,9})?(?:,\s?RESOLVED:\d{1,9})?\](?P<rest>.*)",
    re.IGNORECASE,
)
_LINK = re.compile(r" \| https?://\S*\s*$")
_PAIR = re.compile(r'([A-Za-z_][A-Za-z0-9_]*)="([^"]*)"')
_LINE = re.compile(
    r"^[^\w\n]{0,9}(?P<name>[A-Za-z_][A-Za-z0-9_ ]{0,30}?)[ *_`]{0,4}[:=][ *_`\"']{0,9}(?P<value>[^\s`*\"',]{1,253})",
    re.MULTILINE,
)
_ADDRESS = re.compile(r"<(?:https?|mailto):[^<>|]{0,2000}(?:\|([^<>]{0,500}))?>")
_INSTANCE = re.compile(r"(?:\d{1,3}\.){3}\d{1,3}:\d{1,5}|\[[0-9a-f:]+\]:\d{1,5}")
_POD = re.compile(r"[a-z0-9][-a-z0-9.]*-(?:[a-z0-9]{5}|\d{1,4})")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SEVERITIES = frozenset({"critical", "warning", "info", "none", "page", "notify", "error", "high", "low"})
_IDENTIFYING = ("namespace", "pod", "node", "instance", "cluster", "daemonset", "deployment", "statefulset", "service")


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertMessage:
    """What one message says of one group of alerts."""

    status: AlertStatus
    tokens: tuple[str, ...] = ()
    """Words of the title, which are values of labels where the template is the default one."""
    group: tuple[str, ...] = ()
    """Those of them that stand before the parentheses: values that the alerts are grouped by."""
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    """Labels that the message names."""

    @property
    def name(self) -> str:
        """The `alertname`; "" where it is not known."""
        named = self.labels.get("alertname")
        return named or next((token for token in self.tokens if _looks_like_an_alert(token)), "")

    @property
    def fingerprint(self) -> str:
        """The same for all messages about a group of alerts, whatever fires in it."""
        labels = () if self.group else (f"{name}={self.labels[name]}" for name in sorted(self.labels))
        parts = "\0".join((*(self.group or sorted(self.tokens)), *labels))
        return hashlib.blake2b(parts.encode(errors="surrogatepass"), digest_size=8).hexdigest()

    def is_about(self, labels: Mapping[str, str]) -> bool:
        """Whether the message can be about an alert with these labels.

        All its words are values of that alert; where it names labels itself, its name and another value suffice.
        """
        if any(labels.get(name, value) != value for name, value in self.labels.items()):
            return False
        values = {word for value in labels.values() for word in value.split()}
        if self.tokens and all(token in values for token in self.tokens):
            return True
        said = {*self.tokens, *self.labels.values()}
        names = bool(self.labels) and labels.get("alertname") in said
        return names and any(labels.get(label) in said for label in _IDENTIFYING)


def is_alert_message(event: Mapping[str, Any], extractors: Mapping[str, Extractor]) -> bool:
    """Whether an event of Slack's is a program's message about alerts, new or edited. What people write is none.

    `extractors` are those of channels by id.
    """
    if event.get("type") != "message" or event.get("subtype") not in {None, "bot_message", "message_changed"}:
        return False
    message = message_of(event)
    extractor = extractors.get(str(event.get("channel") or ""))
    return bool(message.get("bot_id")) and read_message(message, extractor) is not None


def message_of(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message itself: an edited one is one level down."""
    inner = event.get("message")
    is_edit = event.get("subtype") == "message_changed" and isinstance(inner, Mapping)
    return cast("Mapping[str, Any]", inner) if is_edit else event


def read_message(message: Mapping[str, Any], extractor: Extractor | None = None) -> AlertMessage | None:
    """What the message says, by its channel's `extractor` first; None: it is not about alerts."""
    texts = [_plain(text) for text in _texts(message)]
    if extractor and (found := extractor.read(texts)):
        status, labels = found
        return AlertMessage(status=status, labels=labels)
    status, title = _title(texts)
    named = dict(_named(message, texts))
    if status is None and "alertname" in named:
        status = _status_without_title(message, texts)
    if status is None:
        return None
    pairs = {name: value for name, value in _PAIR.findall(title) if name in LABELS}
    return AlertMessage(
        status=status, tokens=_words(title), group=_words(title.partition(" (")[0]), labels={**named, **pairs}
    )


def _words(title: str) -> tuple[str, ...]:
    words = (word.strip("(),;\"'`*_") for word in _PAIR.sub(lambda found: f" {found[2]} ", title).split())
    return tuple(dict.fromkeys(word for word in words if word))[:MAX_TOKENS]


def as_alert(message: AlertMessage, *, namespaces: frozenset[str], nodes: frozenset[str]) -> Alert:
    """The alert behind a message, as far as its words tell which labels they are the values of."""
    labels = dict(message.labels)
    for token in message.tokens:
        name = _label_of(token, namespaces, nodes)
        if name and name not in labels:
            labels[name] = token
    if message.name:
        labels["alertname"] = message.name
    return Alert(fingerprint=message.fingerprint, status=message.status, labels=labels)


def _label_of(word: str, namespaces: frozenset[str], nodes: frozenset[str]) -> str:
    """The label that this is a value of, most likely; "" where nothing tells."""
    if word in nodes:
        return "node"
    if word.lower() in SEVERITIES:
        return "severity"
    if _INSTANCE.fullmatch(word):
        return "instance"
    if word == "kube-state-metrics" or component_of(word):
        return "job"
    if word in namespaces:
        return "namespace"
    return "pod" if _POD.fullmatch(word) else ""


def _looks_like_an_alert(token: str) -> bool:
    """CamelCase, as nearly all rules have it."""
    return bool(_NAME.fullmatch(token)) and token[0].isupper() and any(each.islower() for each in token)


def _title(texts: list[str]) -> tuple[AlertStatus | None, str]:
    for text in texts:
        for line in text.splitlines()[:3]:
            found = _STATUS.match(line)
            if found:
                status: AlertStatus = "firing" if found["status"].upper() == "FIRING" else "resolved"
                return status, _LINK.sub("", found["rest"])
    return None, ""


def _status_without_title(message: Mapping[str, Any], texts: list[str]) -> AlertStatus:
    """By a field or line "status", else by the colour."""
    for title, value in _fields(message):
        if title.strip().lower() == "status":
            return "resolved" if "resolved" in value.lower() else "firing"
    for text in texts:
        for found in _LINE.finditer(text):
            if found["name"].strip().lower() == "status":
                return "resolved" if "resolved" in found["value"].lower() else "firing"
    colours = {str(each.get("color") or "").lower() for each in _listed(message.get("attachments"))}
    return "resolved" if colours & {"good", "2eb886", "36a64f"} else "firing"


def _named(message: Mapping[str, Any], texts: list[str]) -> Iterator[tuple[str, str]]:
    for text in texts:
        for found in _LINE.finditer(text):
            yield from _label(found["name"], found["value"])
    for title, value in _fields(message):
        words = _plain(value).strip(" `*_\"'").split()
        if words:
            yield from _label(title, words[0])


def _label(name: str, value: str) -> Iterator[tuple[str, str]]:
    key = name.strip().lower()
    key = _ALIASES.get(key, key)
    if key in LABELS:
        yield key, value.strip("`*_\"'(),;")[:253]


def _texts(message: Mapping[str, Any]) -> Iterator[str]:
    for attachment in _listed(message.get("attachments"))[:5]:
        for key in ("fallback", "title", "pretext", "text"):
            yield str(attachment.get(key) or "")[:MAX_TEXT]
    yield str(message.get("text") or "")[:MAX_TEXT]


def _fields(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for attachment in _listed(message.get("attachments"))[:5]:
        for each in _listed(attachment.get("fields"))[:MAX_TOKENS]:
            yield str(each.get("title") or "")[:100], str(each.get("value") or "")[:1_000]


def _plain(text: str) -> str:
    """Without Slack's links and entities; a link keeps its label."""
    return html.unescape(_ADDRESS.sub(lambda found: found[1] or " ", text))


def _listed(value: object) -> list[Mapping[str, Any]]:
    found = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Mapping[str, Any]", each) for each in found if isinstance(each, Mapping)]
