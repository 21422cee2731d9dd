"""The base of Kubernetes objects, and the parts that many kinds share."""

# ruff: noqa: D101
# Names and meanings are the Kubernetes API's own; a docstring stands where it would surprise.

from datetime import datetime

from msgspec import Struct, field

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

_ACRONYMS = {"ip": "IP", "ips": "IPs", "cidr": "CIDR", "cidrs": "CIDRs", "pid": "PID", "id": "ID", "uri": "URI"}


def _kubernetes_name(name: str) -> str:
    """Kubernetes' spelling of a field: `pod_ips` is `podIPs`, `creation_timestamp` is `creationTimestamp`."""
    first, *rest = name.rstrip("_").split("_")
    return first + "".join(_ACRONYMS.get(word) or word.capitalize() for word in rest)


class KubeStruct(Struct, frozen=True, kw_only=True, rename=_kubernetes_name, omit_defaults=True, gc=False):
    """Base of all objects here. Never part of a reference cycle, hence untracked by the garbage collector."""


class OwnerReference(KubeStruct, frozen=True, kw_only=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool = False


class ObjectMeta(KubeStruct, frozen=True, kw_only=True):
    """Without the annotation in which kubectl keeps a copy of the whole object: it may hold secrets."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    labels: dict[str, str] = field(default_factory=dict[str, str])
    annotations: dict[str, str] = field(default_factory=dict[str, str])
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    generation: int = 0
    resource_version: str = ""
    owner_references: tuple[OwnerReference, ...] = ()

    def __post_init__(self) -> None:
        if LAST_APPLIED in self.annotations:
            del self.annotations[LAST_APPLIED]


class ListMeta(KubeStruct, frozen=True, kw_only=True):
    resource_version: str = ""
    continue_: str = ""
    remaining_item_count: int | None = None


class ObjectReference(KubeStruct, frozen=True, kw_only=True):
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    api_version: str = ""
    resource_version: str = ""
    field_path: str = ""


class Condition(KubeStruct, frozen=True, kw_only=True):
    """`status` is "True", "False" or "Unknown"."""

    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_transition_time: datetime | None = None


class LabelSelectorRequirement(KubeStruct, frozen=True, kw_only=True):
    """`operator` is In, NotIn, Exists or DoesNotExist."""

    key: str = ""
    operator: str = ""
    values: tuple[str, ...] = ()


class LabelSelector(KubeStruct, frozen=True, kw_only=True):
    """An empty selector selects everything; an absent one (None where it stands) selects nothing or is not asked."""

    match_labels: dict[str, str] = field(default_factory=dict[str, str])
    match_expressions: tuple[LabelSelectorRequirement, ...] = ()
