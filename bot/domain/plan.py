"""Plans: changes of a cluster as values, before anybody approves them and while they are carried out.

A plan holds all that will be executed and nothing else will be: each step names the object by its uid, the field, and
the value before and after. Steps are data, not code, so that another process can go on where one was killed, and so
that the digest which people approve covers them whole.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from bot.domain.report import Risk, Status

Way = Literal["do", "undo"]
Realm = Literal["slack", "kubernetes", "cnibot"]
"""Who vouches for a person's name: Slack, the cluster's API server, or nobody (the bot itself)."""


class Person(Struct, frozen=True, kw_only=True, order=True):
    """Somebody who proposes, approves or stops."""

    realm: Realm
    name: str
    """A Slack user id, or the user name that the API server knows."""

    def __str__(self) -> str:
        return f"{self.name} ({self.realm})"


class Target(Struct, frozen=True, kw_only=True):
    """One object as it was when the plan was made."""

    kind: str
    path: str
    """Its path in the API: "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node"."""
    name: str
    namespace: str = ""
    uid: str
    """"" for an object that the plan makes."""
    resource_version: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    @property
    def key(self) -> str:
        """What is the same for the same object: its uid, or the path of one that the plan makes."""
        return self.uid or self.path


class Replace(Struct, frozen=True, kw_only=True, tag="replace"):
    """One field of an object gets another value. None: the field is absent."""

    target: Target
    field: tuple[str, ...]
    before: Any
    after: Any
    made_by: str = ""
    """The plan's id where the plan itself makes the object, which has no uid yet."""

    def reversed(self) -> "Replace":
        """The way back."""
        return msgspec.structs.replace(self, before=self.after, after=self.before)


class Delete(Struct, frozen=True, kw_only=True, tag="delete"):
    """One object is deleted, only if it still has this uid."""

    target: Target
    is_eviction: bool = False
    """A pod, by the Eviction API: only when its PodDisruptionBudgets allow it."""


MADE_BY = "cnibot.io/made-by"
"""The annotation with the plan's id on each object that a plan makes."""


class Create(Struct, frozen=True, kw_only=True, tag="create"):
    """One object is made, whole as it stands here. One that exists already is never touched."""

    target: Target
    manifest: dict[str, Any]

    def reversed(self) -> "Remove":
        """The way back."""
        return Remove(target=self.target, made_by=str(value_at(self.manifest, ("metadata", "annotations", MADE_BY))))


class Remove(Struct, frozen=True, kw_only=True, tag="remove"):
    """An object that a plan made is deleted with what belongs to it; one that somebody else made is not."""

    target: Target
    made_by: str
    """The plan's id."""


class Restart(Struct, frozen=True, kw_only=True, tag="restart"):
    """A DaemonSet's pod on a node is deleted, and it makes another. Which pod that is, the journal says."""

    target: Target
    """The DaemonSet."""
    node: str


class Evict(Struct, frozen=True, kw_only=True, tag="evict"):
    """Pods of a node are evicted by the Eviction API, until none of those meant is left there.

    A pod that nobody would make again is never evicted: it stops the plan.
    """

    target: Target
    """The node."""
    which: Literal["moving", "old", "new"]
    """moving: those with an address of a CNI but for DaemonSets' own, which come back at once. old: those whose address
    is not of `pod_range`, DaemonSets' too. new: those whose address is."""
    pod_range: str


class ReleaseRevision(Struct, frozen=True, kw_only=True):
    """A revision of a Helm release, as Helm keeps it."""

    number: int
    chart: str
    """Name and version: "cilium 1.17.4"."""
    payload: str
    """SHA-256 of all that is kept of it."""
    manifest: str
    """SHA-256 of what it rendered."""


class HelmRollback(Struct, frozen=True, kw_only=True, tag="helm-rollback"):
    """Helm rolls a release back to this revision, only if it and the newest one are as they were when they were read.

    What comes of it is a new revision, with the content of the one that is named.
    """

    target: Target
    """The workload for whose sake it is done."""
    release: str
    namespace: str
    present: ReleaseRevision
    """The newest one."""
    chosen: ReleaseRevision
    requests: tuple[tuple[str, str], ...]
    """What Helm asks of the API server to change objects: method and path."""
    hooks: int = 0
    """How many of its hooks run."""
    timeout_s: float = 300.0
    """For each of them."""

    def __str__(self) -> str:
        return f"Helm release {self.namespace}/{self.release}"


Expectation = Literal["better", "not-worse", "every-way", "as-before"]


class Recheck(Struct, frozen=True, kw_only=True, tag="recheck"):
    """A namespace is diagnosed again. Changes nothing."""

    expects: Expectation = "better"
    """Which end is a good one: what does not aim at the fault need only do no harm. every-way: pods on each of `nodes`
    reach pods on each other one. as-before: they do, and no probe fails that did not fail before the plan."""
    namespace: str = ""
    """"" for the one whose diagnosis justifies the plan."""
    nodes: tuple[str, ...] = ()
    after_s: float = 0.0
    """How long after the step before it."""


Change = Replace | Delete | Create | Remove | Restart | Evict | HelmRollback
Action = Change | Recheck


class NodeReady(Struct, frozen=True, kw_only=True, tag="node-ready"):
    """The node is Ready."""

    node: str


class OthersReady(Struct, frozen=True, kw_only=True, tag="others-ready"):
    """Every pod of this owner on other nodes is Ready."""

    owner: Target
    node: str


class Replaced(Struct, frozen=True, kw_only=True, tag="replaced"):
    """Another pod of this owner than the one of `uid` is Ready; on this node, where one is named."""

    owner: Target
    uid: str
    node: str = ""


class Gone(Struct, frozen=True, kw_only=True, tag="gone"):
    """The object of this uid does not exist any more."""

    target: Target


class RolledOut(Struct, frozen=True, kw_only=True, tag="rolled-out"):
    """The controller has brought every pod of the DaemonSet or Deployment to its template, and they are available."""

    target: Target


class NewTemplate(Struct, frozen=True, kw_only=True, tag="new-template"):
    """The DaemonSet or Deployment no longer has the template that it had: its owner has changed it."""

    target: Target
    former: str
    """SHA-256 of that template."""


class OperatorSettled(Struct, frozen=True, kw_only=True, tag="operator-settled"):
    """The Tigera operator has carried out its Installation: TigeraStatus calico is Available and not Degraded."""

    installation: Target


class NotMarked(Struct, frozen=True, kw_only=True, tag="not-marked"):
    """No other plan has this object in hand."""

    target: Target


class NodesReady(Struct, frozen=True, kw_only=True, tag="nodes-ready"):
    """Every node is Ready, but for those that the incident explains."""

    explained: tuple[str, ...] = ()


class CiliumNodes(Struct, frozen=True, kw_only=True, tag="cilium-nodes"):
    """Cilium has given each of these nodes a block of these ranges."""

    nodes: tuple[str, ...]
    ranges: tuple[str, ...]


class TestPods(Struct, frozen=True, kw_only=True, tag="test-pods"):
    """A pod of this namespace is Ready on each of these nodes, with an address that Cilium gave to the node."""

    namespace: str
    nodes: tuple[str, ...]
    is_cilium: bool = True
    """False: with an address that another CNI gave."""


class PodsGone(Struct, frozen=True, kw_only=True, tag="pods-gone"):
    """No pod with these labels is left in the namespace."""

    namespace: str
    labels: dict[str, str]


class JobDone(Struct, frozen=True, kw_only=True, tag="job-done"):
    """The Job has done its work."""

    target: Target


class CiliumFits(Struct, frozen=True, kw_only=True, tag="cilium-fits"):
    """Nothing that is read now speaks against installing Cilium with these values."""

    values: dict[str, Any]
    is_first: bool = True
    """On a cluster without a CNI; False: beside the one that there is."""


class CiliumOn(Struct, frozen=True, kw_only=True, tag="cilium-on"):
    """What Cilium's agent on a node says of itself, and what it sees there; its tunnel's device is up in any case."""

    node: str
    manages: bool
    """Whether it keeps the node's CNI configuration."""
    configures: bool | None = None
    """True: its configuration is the only one there. False: another one is, and not its own. None: not looked at."""


class AddressesWithin(Struct, frozen=True, kw_only=True, tag="addresses-within"):
    """Every pod that has an address of a CNI has one of this range."""

    pod_range: str


Condition = (
    NodeReady
    | NodesReady
    | OthersReady
    | Replaced
    | Gone
    | RolledOut
    | NewTemplate
    | OperatorSettled
    | NotMarked
    | CiliumNodes
    | TestPods
    | PodsGone
    | JobDone
    | CiliumFits
    | CiliumOn
    | AddressesWithin
)

Undo = Literal["restore", "not-needed", "person", "person-unless-verified"]
"""What becomes of a step when the plan turns back: the former value is restored, nothing need be done, or the plan
halts there and a person decides (a rollback that did not help is not followed by the bad revision again)."""


class Step(Struct, frozen=True, kw_only=True):
    """One step: what must hold before, what is done, what must hold afterwards, and the way back."""

    title: str
    do: Action
    guards: tuple[Condition, ...] = ()
    verify: tuple[Condition, ...] = ()
    within_s: float = 60.0
    """How long it may take until `verify` holds."""
    undo: Undo = "restore"
    reverts: int | None = None
    """Of a step of a plan's own way back: the number of the step that makes it necessary."""
    milestone: str = ""
    """What is reached once the step is verified; on the way back, what no longer is when the step begins."""


class Ways(Struct, frozen=True, kw_only=True):
    """Which nodes reach which, and how fast, as one diagnosis saw it."""

    tested: tuple[str, ...] = ()
    """Directions that were tried: "node-1 to node-2"."""
    failing: tuple[str, ...] = ()
    """Those of them that failed, wholly or now and then."""
    losing: tuple[str, ...] = ()
    """Those in which large packets vanish without a word."""
    latency_ms: float | None = None
    """The median over the others; None where none works."""


class Baseline(Struct, frozen=True, kw_only=True):
    """What the diagnosis said before the change: what the probes are compared with afterwards."""

    status: Status = "inconclusive"
    cause: str = ""
    failing: tuple[str, ...] = ()
    """The findings that fail, each as probe and subject, sorted."""
    nodes_observed: int = 0
    pods_observed: int = 0
    nodes: tuple[str, ...] = ()
    """The nodes that the incident concerns: that they are not Ready is no surprise."""
    ways: Ways = Ways()


class Plan(Struct, frozen=True, kw_only=True):
    """All that will be executed, why, and who asked for it."""

    id: str
    action: str
    """ "roll-back", "restart-agents", …"""
    title: str
    """As the rest of "Plan to …": "restart calico-node on node-2"."""
    risk: Risk
    cluster: str
    namespace: str
    """The namespace whose diagnosis justifies it; its probes run again afterwards."""
    steps: tuple[Step, ...]
    back: tuple[Step, ...] = ()
    """The way back in its own order, where undoing step by step would be the wrong one; else empty."""
    expected_s: float
    disruption: str
    """What people will notice, in a sentence."""
    affected: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    """What whoever approves must know."""
    accepted: tuple[str, ...] = ()
    """Fingerprints of alerts that fired for its objects when it was made: its approvers were warned of them."""
    cause: str = ""
    """The id of the cause that it is against."""
    evidence: tuple[str, ...] = ()
    baseline: Baseline = Baseline()
    incident: str = ""
    run: int = 0
    """The incident's run whose report justifies it."""
    requester: Person
    made_at: float
    expires_at: float
    """Unix time after which it cannot be approved, and an approval is void."""
    program: str
    """The version of cnibot that made it; another version does not go on with it."""

    @property
    def digest(self) -> str:
        """SHA-256 over everything in it."""
        return hashlib.sha256(canonical(self)).hexdigest()

    def step(self, number: int, way: Way) -> Step:
        """The step of that number on the way there or back."""
        return self.back[number] if way == "undo" and self.back else self.steps[number]

    @property
    def targets(self) -> tuple[Target, ...]:
        """The objects that it changes, each once."""
        found = {step.do.target.key: step.do.target for step in self.steps if not isinstance(step.do, Recheck)}
        return tuple(found.values())


def canonical(value: object) -> bytes:
    """JSON in which keys are sorted: the same bytes for the same value."""
    return msgspec.json.encode(value, order="deterministic")


def value_at(obj: Mapping[str, Any], field: tuple[str, ...]) -> Any:
    """The value of a field; None where it, or anything above it, is absent."""
    value: Any = obj
    for part in field:
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] JSON
    return value  # pyright: ignore[reportUnknownVariableType] JSON
