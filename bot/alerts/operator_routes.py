"""The operator's own routes: a YAML file, checked when loaded, the first that matches decides.

routes:
  - matchers: ['alertname="KubeProxyDown"', 'cluster=~"edge-.+"']
    ignore: these clusters run without kube-proxy
  - matchers: ['alertname=~"Seldon.+"']
    scope: {namespace: "{tenant}", pod: "{pod_name}"}
    playbook: seldon
    channel: C0123456789
    severity: critical
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bot.alerts.matchers import Matcher, MatcherError, parse_matcher
from bot.domain.alert import Alert, AlertScope, Component
from bot.rules.problems import Problem, RulesError, did_you_mean
from bot.rules.source import Document, model, read

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TEMPLATE = re.compile(r"(?:[^{}]|\{[A-Za-z_][A-Za-z0-9_]*\})+")
Text = Field(default="", max_length=253)


class ScopeSchema(BaseModel):
    """Where to look; `{label}` stands for the value of the alert's label."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    node: str = Text
    namespace: str = Text
    pod: str = Text
    daemonset: str = Text
    deployment: str = Text
    statefulset: str = Text
    service: str = Text
    component: Component | None = None
    cluster: Literal[True] | None = None

    @model_validator(mode="after")
    def _is_one_place(self) -> Self:
        given = {name: value for name, value in self if value}
        inside = [name for name in ("pod", "daemonset", "deployment", "statefulset", "service") if name in given]
        places = inside or [name for name in ("node", "namespace", "component", "cluster") if name in given]
        if len(places) != 1 or len(given) != len(places) + (bool(inside) and "namespace" in given):
            message = "name one place: node, component, cluster, namespace, or one object with its namespace"
            raise ValueError(message)
        if inside and "namespace" not in given:
            message = f"a {inside[0]} needs its namespace beside it"
            raise ValueError(message)
        for name, value in given.items():
            if isinstance(value, str) and not _TEMPLATE.fullmatch(value):
                message = f"{name}: braces hold the name of one label, as in {{namespace}}"
                raise ValueError(message)
        return self

    def of(self, labels: Mapping[str, str]) -> AlertScope | str:
        """The scope for these labels; a label's name where the alert lacks one that is needed."""
        given: dict[str, str] = {}
        for name, template in self:
            if isinstance(template, str):
                missing = [label for label in _PLACEHOLDER.findall(template) if not labels.get(label)]
                if missing:
                    return missing[0]
                given[name] = _PLACEHOLDER.sub(lambda found: labels[found[1]], template)
        return self._scope({name: value for name, value in given.items() if value})

    def _scope(self, given: Mapping[str, str]) -> AlertScope:
        namespace = given.get("namespace", "")
        match given:
            case {"node": name}:
                return AlertScope(kind="node", name=name)
            case {"pod": name}:
                return AlertScope(kind="pod", namespace=namespace, name=name)
            case {"service": name}:
                return AlertScope(kind="service", namespace=namespace, name=name)
            case {"component": name}:
                return AlertScope(kind="component", name=name)
            case _:
                pass
        for kind in ("daemonset", "deployment", "statefulset"):
            if kind in given:
                return AlertScope(kind="workload", namespace=namespace, name=given[kind], workload=kind)
        return AlertScope(kind="namespace", namespace=namespace) if namespace else AlertScope(kind="cluster")


class RouteSchema(BaseModel):
    """One route as it is written."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    matchers: tuple[str, ...] = Field(min_length=1, max_length=32)
    ignore: str = Field(default="", max_length=300)
    """Why such alerts are not looked into."""
    scope: ScopeSchema | None = None
    playbook: str = ""
    channel: str = Field(default="", pattern="^([CG][A-Z0-9]{5,20})?$")
    severity: Literal["critical", "warning", "info"] | None = None

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        does = any((self.scope, self.playbook, self.channel, self.severity))
        if self.ignore and does:
            message = "an ignored alert needs no scope, playbook, channel or severity"
            raise ValueError(message)
        if not self.ignore and not does:
            message = "the route does nothing: give it scope, playbook, channel, severity, or ignore with a reason"
            raise ValueError(message)
        return self


class RoutesSchema(BaseModel):
    """The whole file."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid", frozen=True)

    routes: tuple[RouteSchema, ...] = Field(max_length=1_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route, checked."""

    matchers: tuple[Matcher, ...]
    where: str
    """File and line."""
    ignore: str = ""
    scope: ScopeSchema | None = None
    playbook: str = ""
    channel: str = ""
    severity: str = ""

    def matches(self, alert: Alert) -> bool:
        """Whether all matchers hold."""
        return all(matcher.matches(alert.labels) for matcher in self.matchers)


def load_routes(path: Path, playbooks: Collection[str]) -> tuple[Route, ...]:
    """The routes of a file. `playbooks` are the names that exist. Errors: `RulesError` with every mistake."""
    document = read(path)
    schema = model(document, RoutesSchema)
    problems: list[Problem] = []
    routes = [_route(document, number, route, playbooks, problems) for number, route in enumerate(schema.routes)]
    if problems:
        raise RulesError(problems)
    return tuple(routes)


def _route(
    document: Document, number: int, schema: RouteSchema, playbooks: Collection[str], problems: list[Problem]
) -> Route:
    where = ("routes", number)
    matchers: list[Matcher] = []
    for index, text in enumerate(schema.matchers):
        try:
            matchers.append(parse_matcher(text))
        except MatcherError as error:
            problems.append(document.problem((*where, "matchers", index), str(error)))
    if schema.playbook and schema.playbook not in playbooks:
        hint = did_you_mean(schema.playbook, playbooks)
        problems.append(document.problem((*where, "playbook"), f"there is no playbook {schema.playbook!r}{hint}"))
    return Route(
        matchers=tuple(matchers),
        where=f"{document.file}:{document.line(where)}",
        ignore=schema.ignore,
        scope=schema.scope,
        playbook=schema.playbook,
        channel=schema.channel,
        severity=schema.severity or "",
    )
