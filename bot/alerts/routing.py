"""Where an alert leads: silent or ignored, or what to look at, and why."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bot.alerts.operator_routes import Route
from bot.alerts.rules import RULES, is_silent, read_labels
from bot.domain.alert import Alert, AlertScope

_NOTES: Mapping[str, str] = {
    "kubeletplegdurationhigh": "It measures the container runtime, not the network.",
    "kubeapierrorbudgetburn": "It counts slow and failed API requests, whatever the reason.",
    "kubeapiterminatedrequests": "The API server sheds load, which is no sign of the network.",
    "kubeletdown": "It means first of all that Prometheus cannot reach a kubelet.",
    "kubeproxydown": "It fires whenever Prometheus finds no kube-proxy, even where none is installed.",
}
"""What a published alert says beyond its labels, by its name in lower case."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """What becomes of one alert."""

    alert: Alert
    scope: AlertScope | None
    """None: nothing is diagnosed."""
    rule: str
    """Which rule decided: "rule 3" or the operator's file and line."""
    why: tuple[str, ...]
    """Sentences, the deciding one first."""
    playbook: str = ""
    channel: str = ""
    severity: str = ""
    """The operator's, else the alert's own."""


def route(alert: Alert, operators: Sequence[Route] = ()) -> Routed:
    """Where the alert leads. The operator's routes go first; what the matching one leaves open, the rules decide."""
    chosen = next((each for each in operators if each.matches(alert)), None)
    if chosen is None:
        return by_rules(alert)
    if chosen.ignore:
        return Routed(
            alert=alert, scope=None, rule=chosen.where, why=(f"Ignored: {chosen.ignore}",), severity=alert.severity
        )
    return replace(
        _scoped(alert, chosen),
        playbook=chosen.playbook,
        channel=chosen.channel,
        severity=chosen.severity or alert.severity,
    )


def _scoped(alert: Alert, chosen: Route) -> Routed:
    if chosen.scope is None:
        found = by_rules(alert)
        return replace(found, why=(*found.why, f"The route in {chosen.where} leaves the scope to the rules."))
    scope = chosen.scope.of(alert.labels)
    if isinstance(scope, AlertScope):
        return Routed(alert=alert, scope=scope, rule=chosen.where, why=("Your route says so.",))
    found = by_rules(alert)
    return replace(found, why=(*found.why, f"The route in {chosen.where} needs the label {scope}, which is missing."))


def by_rules(alert: Alert) -> Routed:
    """Where the rules alone lead."""
    if is_silent(alert):
        why = "Ignored: it always fires, or needs no action."
        return Routed(alert=alert, scope=None, rule="rule 1", why=(why,), severity=alert.severity)
    reading = read_labels(alert.labels)
    for rule in RULES:
        scope = rule.find(reading.labels)
        if scope is not None:
            why = (f"{rule.says[:1].upper()}{rule.says[1:]}.", *(f"{note}." for note in reading.notes), *_note(alert))
            return Routed(alert=alert, scope=scope, rule=f"rule {rule.number}", why=why, severity=alert.severity)
    raise AssertionError("the last rule always finds something")


def _note(alert: Alert) -> tuple[str, ...]:
    note = _NOTES.get(re.sub(r"[^a-z]", "", alert.name.lower()))
    return (note,) if note else ()
