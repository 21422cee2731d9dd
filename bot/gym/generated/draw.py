"""Drawing: what a mechanism composes its scenario with, and where mechanisms register."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from typing import TypeVar

from bot.gym.generated.scenario import Change, Direction, Edge, Family, Scenario, Scope, Selector, Step, Truth

T = TypeVar("T")
CNIS = ("calico-vxlan", "flannel-vxlan", "cilium-tunnel")
ROUTED = ("calico-vxlan", "cilium-tunnel")
FLANNEL = ("flannel-vxlan",)

REMOTE = (
    Edge(
        namespace="seldon-mesh",
        source="sklearn-iris",
        service="seldon-scheduler",
        port=9004,
        bystander="income-classifier",
    ),
    Edge(
        namespace="seldon-mesh",
        source="income-classifier",
        service="seldon-scheduler",
        port=9004,
        bystander="sklearn-iris",
    ),
    Edge(namespace="mlflow", source="mlflow", service="postgres", port=5432, bystander="minio"),
    Edge(namespace="mlflow", source="mlflow", service="minio", port=9000, bystander="postgres"),
)
LOCAL = Edge(
    namespace="seldon-mesh",
    source="mlserver",
    service="seldon-scheduler",
    port=9004,
    bystander="sklearn-iris",
    is_local=True,
)
_WEIGHTS = (4, 4, 1, 1)
_PREFIXES = ("guard", "edr", "hardening", "secops", "tenant", "acme", "shield", "audit", "zone", "lockdown")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a mechanism made of its draws; the generator adds seed, data plane and flow."""

    place: str
    says: str
    selector: Selector = "all"
    scope: Scope = "pod"
    direction: Direction = "request"
    steps: tuple[Step, ...] = ()
    changes: tuple[Change, ...] = ()
    truth: Truth
    resync: bool = False


@dataclass(frozen=True, slots=True)
class Draw:
    """The chance of one scenario, on one data plane, for one flow."""

    chance: Random
    cni: str
    edge: Edge

    def one(self, of: Sequence[T]) -> T:
        """One of them."""
        return self.chance.choice(of)

    def maybe(self, share: float = 0.5) -> bool:
        """True in this share of cases."""
        return self.chance.random() < share

    def name(self) -> str:
        """A name for a table, a chain or an object that somebody else might have made."""
        return f"{self.one(_PREFIXES)}{self.chance.randint(10, 99)}"

    @property
    def is_bridged(self) -> bool:
        """Whether pods hang on a bridge."""
        return self.cni in FLANNEL


Compose = Callable[[Draw], Draft]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mechanism:
    """A way to break something, or to look as if."""

    id: str
    family: Family
    compose: Compose
    cnis: tuple[str, ...]
    weight: int
    is_remote: bool
    """Only flows between nodes meet it."""


MECHANISMS: dict[str, Mechanism] = {}


def mechanism(
    id: str,  # noqa: A002 the word everybody uses
    family: Family,
    *,
    cnis: tuple[str, ...] = CNIS,
    weight: int = 1,
    is_remote: bool = False,
) -> Callable[[Compose], Compose]:
    """Register a function that composes scenarios."""

    def register(compose: Compose) -> Compose:
        if id in MECHANISMS:
            raise ValueError(f"two mechanisms are called {id}")
        MECHANISMS[id] = Mechanism(id=id, family=family, compose=compose, cnis=cnis, weight=weight, is_remote=is_remote)
        return compose

    return register


def an_edge(chance: Random, *, is_remote: bool) -> Edge:
    """The flow to break."""
    if not is_remote and chance.random() < 0.15:
        return LOCAL
    return chance.choices(REMOTE, weights=_WEIGHTS)[0]


def as_scenario(found: Mechanism, draft: Draft, draw: Draw, seed: int) -> Scenario:
    """The draft, complete."""
    return Scenario(
        seed=seed,
        cni=draw.cni,
        family=found.family,
        mechanism=found.id,
        place=draft.place,
        selector=draft.selector,
        scope=draft.scope,
        direction=draft.direction,
        edge=draw.edge,
        says=draft.says,
        steps=draft.steps,
        changes=draft.changes,
        truth=draft.truth,
        resync=draft.resync,
    )
