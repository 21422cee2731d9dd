"""Facts: what was observed about each subject, each value observed or explicitly unobserved.

A fact has a dotted name whose first word is the kind of subject it is about ("pod.gateway_arp", "node.ip_forward").
Probes declare their facts as `FactSpec`s and fill a `FactTable`; playbooks and causes read them by CEL. A name that
no probe declares is refused when a playbook or cause is loaded. A declared fact without a value is *unknown*: never
false, never a default.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]
ValueType = Literal["bool", "int", "float", "str", "list"]


class SubjectKind(StrEnum):
    """What a fact, a symptom or a cause can be about."""

    CLUSTER = "cluster"
    NODE = "node"
    POD = "pod"
    SERVICE = "service"
    PAIR = "pair"
    """An ordered pair of nodes: the direction from the first to the second."""


@dataclass(frozen=True, slots=True, order=True)
class Subject:
    """One thing of the cluster: "pod seldon-mesh/a", "node node-1", "pair node-1>node-2", "cluster"."""

    kind: SubjectKind
    name: str = ""
    """A pod or Service as "namespace/name", a node's name, a pair as "source>destination", "" for the cluster."""

    def __hash__(self) -> int:
        return hash(self.name)  # a string keeps its own; hashing the enum too costs ten times as much

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


CLUSTER = Subject(SubjectKind.CLUSTER)


def node(name: str) -> Subject:
    """The node of this name."""
    return Subject(SubjectKind.NODE, name)


def pod(namespace: str, name: str) -> Subject:
    """The pod `namespace`/`name`."""
    return Subject(SubjectKind.POD, f"{namespace}/{name}")


def service(namespace: str, name: str) -> Subject:
    """The Service `namespace`/`name`."""
    return Subject(SubjectKind.SERVICE, f"{namespace}/{name}")


def pair(source: str, destination: str) -> Subject:
    """The direction from one node to another."""
    return Subject(SubjectKind.PAIR, f"{source}>{destination}")


class Rung(StrEnum):
    """The access ladder, least privilege first."""

    API = "api"
    EXEC = "exec"
    CNI_AGENT = "cni-agent"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class FactSpec:
    """A fact that a probe can fill."""

    name: str
    type: ValueType
    doc: str
    """What the value says, one sentence."""
    values: tuple[str, ...] = ()
    """For a string (or a list of strings): all the values it can have; empty when open-ended."""
    rungs: tuple[Rung, ...] = (Rung.AGENT,)
    """The rungs of the access ladder that can see it."""
    look: str = ""
    """How a person observes it: a command, with <pod>, <node>, … as placeholders."""

    @property
    def kind(self) -> SubjectKind:
        """The kind of subject it is about."""
        return SubjectKind(self.name.partition(".")[0])

    @property
    def key(self) -> str:
        """The name without its kind."""
        return self.name.partition(".")[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Relations:
    """How subjects hang together: whose node, whose ends."""

    node_of_pod: Mapping[Subject, Subject] = field(default_factory=lambda: MappingProxyType({}))
    pods_of_service: Mapping[Subject, tuple[Subject, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """The pods behind a Service's endpoints, ready or not."""

    def context(self, subject: Subject) -> Mapping[str, Subject]:
        """The variables that an expression about `subject` can read, and the subject behind each.

        pod -> pod, node, cluster; node -> node, cluster; pair -> pair, src, dst, cluster; service -> service, cluster.
        """
        match subject.kind:
            case SubjectKind.POD:
                host = self.node_of_pod.get(subject)
                return {"pod": subject, "cluster": CLUSTER} | ({"node": host} if host else {})
            case SubjectKind.NODE:
                return {"node": subject, "cluster": CLUSTER}
            case SubjectKind.SERVICE:
                return {"service": subject, "cluster": CLUSTER}
            case SubjectKind.PAIR:
                source, _, destination = subject.name.partition(">")
                return {"pair": subject, "src": node(source), "dst": node(destination), "cluster": CLUSTER}
            case SubjectKind.CLUSTER:
                return {"cluster": subject}


VARIABLES: Mapping[SubjectKind, Mapping[str, SubjectKind]] = MappingProxyType(
    {
        SubjectKind.POD: {"pod": SubjectKind.POD, "node": SubjectKind.NODE, "cluster": SubjectKind.CLUSTER},
        SubjectKind.NODE: {"node": SubjectKind.NODE, "cluster": SubjectKind.CLUSTER},
        SubjectKind.SERVICE: {"service": SubjectKind.SERVICE, "cluster": SubjectKind.CLUSTER},
        SubjectKind.PAIR: {
            "pair": SubjectKind.PAIR,
            "src": SubjectKind.NODE,
            "dst": SubjectKind.NODE,
            "cluster": SubjectKind.CLUSTER,
        },
        SubjectKind.CLUSTER: {"cluster": SubjectKind.CLUSTER},
    }
)
"""Which variables an expression about each kind of subject can read, and whose facts they carry."""


@dataclass(frozen=True, slots=True)
class FactTable:
    """All facts of one diagnosis: immutable once judged."""

    values: Mapping[Subject, Mapping[str, Value]]
    """Fact keys (without the kind) to values, observed ones only."""
    unobserved: Mapping[Subject, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """Fact keys to the reason why there is no value, where a reason is known."""
    relations: Relations = field(default_factory=Relations)

    def of(self, subject: Subject) -> Mapping[str, Value]:
        """The observed facts of one subject."""
        return self.values.get(subject, {})

    def subjects(self, kind: SubjectKind) -> Iterator[Subject]:
        """All subjects of a kind about which something is known, in order of name."""
        return iter(sorted(s for s in self.values if s.kind is kind))

    def why_unobserved(self, subject: Subject, key: str) -> str:
        """Why a fact has no value ("" when no reason was recorded)."""
        return self.unobserved.get(subject, {}).get(key, "")


class FactBuilder:
    """Collects facts from probes; refuses names and values that no probe declared."""

    def __init__(self, specs: Iterable[FactSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._values: dict[Subject, dict[str, Value]] = {}
        self._unobserved: dict[Subject, dict[str, str]] = {}

    def subject(self, subject: Subject) -> None:
        """Make a subject known even if nothing else is."""
        self._values.setdefault(subject, {})

    def set(self, subject: Subject, key: str, value: Value) -> None:
        """Record one observed value.

        Raises KeyError for an undeclared fact and ValueError for a value outside the declared ones: both are
        mistakes of a probe, never of a cluster.
        """
        spec = self._specs[f"{subject.kind}.{key}"]
        if spec.values:
            for one in value if isinstance(value, tuple) else (value,):
                if one not in spec.values:
                    msg = f"{spec.name} cannot be {one!r}"
                    raise ValueError(msg)
        self._values.setdefault(subject, {})[key] = value

    def miss(self, subject: Subject, key: str, why: str) -> None:
        """Record that a fact was not observed, and why."""
        _ = self._specs[f"{subject.kind}.{key}"]
        self._unobserved.setdefault(subject, {})[key] = why
        self._values.setdefault(subject, {})

    def build(self, relations: Relations) -> FactTable:
        """The finished table. What was both missed and set counts as observed."""
        return FactTable(
            values=MappingProxyType({s: MappingProxyType(dict(v)) for s, v in self._values.items()}),
            unobserved=MappingProxyType({s: MappingProxyType(dict(v)) for s, v in self._unobserved.items()}),
            relations=relations,
        )
