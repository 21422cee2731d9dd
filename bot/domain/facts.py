"""Facts: what was observed about each subject, each value observed or explicitly unobserved.

A fact has a dotted name whose first word is the kind of subject it is about ("pod.gateway_arp", "node.ip_forward").
Probes declare their facts as `FactSpec`s and fill a `FactTable`; playbooks and causes read them by CEL. A name that
no probe declares is refused when a playbook or cause is loaded. A declared fact without a value is *unknown*: never
false, never a default.
"""

from collections.abc import Iterable, Iterator, KeysView, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Literal

Scalar = bool | int | float | str
Value = Scalar | tuple[Scalar, ...]
ValueType = Literal["bool", "int", "float", "str", "list"]


_TO = ">"


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

    @property
    def ends(self) -> "tuple[Subject, Subject]":
        """The nodes of a pair: from the first to the second."""
        source, _, destination = self.name.partition(_TO)
        return node(source), node(destination)

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
    return Subject(SubjectKind.PAIR, f"{source}{_TO}{destination}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One tried way: who asked whom. Pods and nodes as subjects; `target` None for an address outside."""

    source: Subject
    target: Subject | None = None
    source_node: Subject | None = None
    target_node: Subject | None = None


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
    """How a person observes it: a command, with <pod>, <node>, … where `bot.causes.looks` puts what is known."""
    is_command: bool = False
    """Whether the value is a shell command that the probe has put together, its words quoted."""

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
    asked: frozenset[Subject] = frozenset()
    """The pods that the diagnosis was asked about: whoever names a few of many names these first."""
    addresses: Mapping[Subject, str] = field(default_factory=lambda: MappingProxyType({}))
    """Where pods, nodes and Services are reached."""
    ports: Mapping[Subject, int] = field(default_factory=lambda: MappingProxyType({}))
    """Where Services are dialled, and the pods behind them: the first port, TCP if there is one."""

    def asked_first(self, subject: Subject) -> tuple[bool, Subject]:
        """The key by which subjects are listed: those that were asked about before the others, then by name."""
        return subject not in self.asked, subject

    def node_of(self, subject: Subject | None) -> Subject | None:
        """The node that a pod runs on; a node itself; None where that is not known."""
        if subject is not None and subject.kind is SubjectKind.NODE:
            return subject
        return self.node_of_pod.get(subject) if subject is not None else None

    def flow(self, source: Subject, target: Subject | None) -> Flow:
        """The flow between these two, with their nodes."""
        ends = (self.node_of(source), self.node_of(target))
        return Flow(source=source, target=target, source_node=ends[0], target_node=ends[1])

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
                source, destination = subject.ends
                return {"pair": subject, "src": source, "dst": destination, "cluster": CLUSTER}
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


Ends = tuple[Subject, Subject | None]
"""Who asked whom; None for an address outside."""


class UndeclaredFactError(Exception):
    """Somebody reads a fact that no probe declares: a mistake of ours, never "not observed"."""


class Known(dict[str, Value]):
    """The observed facts of one subject. Asking for one that no probe declares raises `UndeclaredFactError`."""

    def __init__(self, kind: SubjectKind, declared: AbstractSet[str], values: Mapping[str, Value]) -> None:
        super().__init__(values)
        self._kind = kind
        self._declared = declared

    def _check(self, key: object) -> None:
        name = f"{self._kind}.{key}"
        if name not in self._declared:
            raise UndeclaredFactError(name)

    def get(self, key: str, default: Any = None) -> Any:
        """As of any mapping."""
        if super().__contains__(key):
            return self[key]
        self._check(key)
        return default

    def __contains__(self, key: object) -> bool:
        if super().__contains__(key):
            return True
        self._check(key)
        return False

    def __missing__(self, key: str) -> Value:
        self._check(key)
        raise KeyError(key)

    def keys(self) -> KeysView[str]:  # pyright: ignore[reportIncompatibleMethodOverride] a dict's own would not ask us
        """As of any mapping: `known.keys() & {…}` asks for each of them."""
        return KeysView(self)


@dataclass(frozen=True, slots=True)
class FactTable:
    """All facts of one diagnosis: immutable once judged."""

    values: Mapping[Subject, Mapping[str, Value]]
    """Fact keys (without the kind) to values, observed ones only."""
    unobserved: Mapping[Subject, Mapping[str, str]] = field(default_factory=lambda: MappingProxyType({}))
    """Fact keys to the reason why there is no value, where a reason is known."""
    relations: Relations = field(default_factory=Relations)
    failures: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Probes that failed themselves while they observed, with the kind of their error."""
    flows: Mapping[tuple[Subject, str], tuple[Flow, ...]] = field(default_factory=lambda: MappingProxyType({}))
    """Of facts that list flows, by subject and key: what their strings ("shop/a>shop/b") stand for."""
    declared: AbstractSet[str] = frozenset()
    """Every fact that a probe declares, by its full name; empty in tests that make up their own."""

    def of(self, subject: Subject) -> Mapping[str, Value]:
        """The observed facts of one subject."""
        known = self.values.get(subject)
        if known is not None:
            return known
        return Known(subject.kind, self.declared, {}) if self.declared else {}

    def subjects(self, kind: SubjectKind) -> Iterator[Subject]:
        """All subjects of a kind about which something is known, in order of name."""
        return iter(sorted(s for s in self.values if s.kind is kind))

    def flows_of(self, subject: Subject, key: str) -> tuple[Flow, ...]:
        """The flows that a fact lists; none where it was not observed."""
        return self.flows.get((subject, key), ())

    def why_unobserved(self, subject: Subject, key: str) -> str:
        """Why a fact has no value ("" when no reason was recorded)."""
        return self.unobserved.get(subject, {}).get(key, "")


class FactBuilder:
    """Collects facts from probes; refuses names and values that no probe declared."""

    def __init__(self, specs: Iterable[FactSpec]) -> None:
        self._specs = {spec.name: spec for spec in specs}
        self._values: dict[Subject, dict[str, Value]] = {}
        self._unobserved: dict[Subject, dict[str, str]] = {}
        self._failures: dict[str, str] = {}
        self._flows: dict[tuple[Subject, str], tuple[Ends, ...]] = {}

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

    def put(self, subject: Subject, key: str, value: Value | None, why: str) -> None:
        """Record a value, or why there is none."""
        if value is None:
            self.miss(subject, key, why)
        else:
            self.set(subject, key, value)

    def set_flows(self, subject: Subject, key: str, flows: Iterable[Ends], *, most: int) -> None:
        """Record a list of flows, each once, at most so many; rules and people read it as "source>target"."""
        kept = tuple(dict.fromkeys(flows))[:most]
        self.set(subject, key, tuple(f"{source.name}{_TO}{target.name if target else ''}" for source, target in kept))
        self._flows[subject, key] = kept

    def miss_all(self, subject: Subject, keys: Iterable[str], why: str) -> None:
        """Record that none of these was seen, for one reason."""
        for key in keys:
            self.miss(subject, key, why)

    def fail(self, probe: str, error: str) -> None:
        """Record that a probe itself failed."""
        self._failures[probe] = error

    def build(self, relations: Relations) -> FactTable:
        """The finished table. What was both missed and set counts as observed."""
        declared = frozenset(self._specs)
        return FactTable(
            values=MappingProxyType({s: MappingProxyType(Known(s.kind, declared, v)) for s, v in self._values.items()}),
            declared=declared,
            failures=MappingProxyType(dict(self._failures)),
            flows=MappingProxyType(
                {where: tuple(relations.flow(*ends) for ends in flows) for where, flows in self._flows.items()}
            ),
            unobserved=MappingProxyType({s: MappingProxyType(dict(v)) for s, v in self._unobserved.items()}),
            relations=relations,
        )
