"""What a generated scenario is: a typed value that (seed, data plane) decides, with the truth of what it does."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from bot.domain.finding import Hop

Family = Literal[
    "netfilter", "queue", "route", "neighbour", "kernel", "link", "dns", "object", "sandbox", "translation", "decoy"
]
Direction = Literal["request", "reply", "both"]
Selector = Literal["pod", "port", "pod and port", "node", "size", "fraction", "state", "protocol", "all"]
Scope = Literal["pod", "node", "cluster"]
Target = Literal["src-node", "dst-node", "other-node", "src-pod", "dst-pod", "underlay"]
Verb = Literal["create", "patch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """One flow that an application needs: a workload dials a Service that one pod serves."""

    namespace: str
    source: str
    """A Deployment, as its pods' names begin."""
    service: str
    port: int
    """The Service's; its pod listens on the same one."""
    bystander: str
    """Another workload of the namespace, on a node of its own where there is one."""
    is_local: bool = False
    """Both ends on one node."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.source} to {self.service}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A shell command in one of the lab's namespaces, and the command that takes it back. `$NAMES` are the lab's."""

    on: Target
    do: str
    undo: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A change of a Kubernetes object; the lab takes it back by itself."""

    verb: Verb
    resource: str
    namespace: str
    name: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What a right verdict says: derived from what was done, never from what a diagnosis found."""

    causes: tuple[str, ...] = ()
    """Cause ids that name it. None: no cause of the rules fits, so an honest "not known" is the best answer."""
    hops: tuple[Hop, ...] = ()
    words: tuple[str, ...] = ()
    """The culprit, in words that fit nothing else: one has to be named. `$NAMES` are the lab's."""
    objects: tuple[str, ...] = ()
    """What says where to look, too, once the cause is right: a Service, a pair of nodes, a pod."""
    follows: tuple[str, ...] = ()
    """Causes that are true, too, but say less than what was done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One way to break a lab (or, for a decoy, to look as if)."""

    seed: int
    cni: str
    family: Family
    mechanism: str
    place: str
    selector: Selector
    scope: Scope
    direction: Direction
    edge: Edge
    says: str
    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    truth: Truth = field(default_factory=Truth)
    resync: bool = False
    """The kernel forgets more than the steps take back: the CNI's agents program their nodes anew afterwards."""

    @property
    def id(self) -> str:
        """How to ask for it again: "calico-vxlan/17", "calico-vxlan/decoy-17"."""
        return f"{self.cni}/{'decoy-' if self.is_decoy else ''}{self.seed}"

    @property
    def is_decoy(self) -> bool:
        """Whether it breaks nothing on purpose."""
        return self.family == "decoy"

    @property
    def new_pods(self) -> tuple[str, ...]:
        """The pods that it creates: each needs a network."""
        return tuple(one.name for one in self.changes if one.verb == "create" and one.resource == "pods")

    @property
    def kind(self) -> str:
        """Mechanism, place and selector: what scenarios of one kind share."""
        return f"{self.mechanism}, {self.place}, {self.selector}, {self.direction}"
