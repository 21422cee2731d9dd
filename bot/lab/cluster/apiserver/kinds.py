"""Which resources the server knows: their names, verbs and subresources, as discovery shows them."""

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
_READ_WRITE = ("get", "patch", "update")


@dataclass(frozen=True, kw_only=True)
class Subresource:
    """A path below an object, such as `status` or `exec`; group and version are those of its own kind."""

    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    version: str = ""


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One kind of object and where it lives."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: Mapping[str, Subresource] = field(default_factory=dict[str, Subresource])
    list_kind: str = ""
    custom: bool = False
    """Whether a CustomResourceDefinition made it."""
    columns: tuple[Mapping[str, Any], ...] = ()
    """The `additionalPrinterColumns` of a custom resource."""

    @cached_property
    def name(self) -> str:
        """`plural[.group]`, the name that storage and error messages use."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @cached_property
    def api_version(self) -> str:
        """`group/version`, or only the version in the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @cached_property
    def singular_name(self) -> str:
        """The singular that discovery shows."""
        return self.singular or self.kind.lower()

    @cached_property
    def storage_version_hash(self) -> str:
        """What discovery calls `storageVersionHash`: it tells clients that two resources share their storage."""
        digest = hashlib.sha256(f"{self.group}/{self.version}/{self.kind}".encode()).digest()
        return base64.b64encode(digest[:8]).decode()


_STATUS = ("status",)
_SCALE = ("scale", "status")


def _subresources(kind: str, names: tuple[str, ...]) -> dict[str, Subresource]:
    known = {
        "status": Subresource(kind=kind, verbs=_READ_WRITE),
        "scale": Subresource(kind="Scale", verbs=_READ_WRITE, group="autoscaling", version="v1"),
        "finalize": Subresource(kind=kind, verbs=("update",)),
        "approval": Subresource(kind=kind, verbs=_READ_WRITE),
        "attach": Subresource(kind="PodAttachOptions", verbs=("create", "get")),
        "binding": Subresource(kind="Binding", verbs=("create",)),
        "ephemeralcontainers": Subresource(kind=kind, verbs=_READ_WRITE),
        "eviction": Subresource(kind="Eviction", verbs=("create",), group="policy", version="v1"),
        "exec": Subresource(kind="PodExecOptions", verbs=("create", "get")),
        "log": Subresource(kind=kind, verbs=("get",)),
        "portforward": Subresource(kind="PodPortForwardOptions", verbs=("create", "get")),
        "proxy": Subresource(kind=f"{kind}ProxyOptions", verbs=("create", "delete", "get", "patch", "update")),
        "resize": Subresource(kind=kind, verbs=_READ_WRITE),
        "token": Subresource(kind="TokenRequest", verbs=("create",), group="authentication.k8s.io", version="v1"),
    }
    if kind == "Node":
        known["proxy"] = Subresource(kind="NodeProxyOptions", verbs=known["proxy"].verbs)
    return {name: known[name] for name in names}


def _group(group: str, version: str, *, namespaced: bool) -> Any:
    def resource(plural: str, kind: str, short: str = "", sub: tuple[str, ...] = (), **more: Any) -> Resource:
        return Resource(
            group=group,
            version=version,
            plural=plural,
            kind=kind,
            namespaced=namespaced,
            short_names=tuple(short.split()),
            subresources=_subresources(kind, sub),
            **more,
        )

    return resource


_CREATE = ("create",)
_ALL = ("all",)
_POD_SUBRESOURCES = (
    "attach",
    "binding",
    "ephemeralcontainers",
    "eviction",
    "exec",
    "log",
    "portforward",
    "proxy",
    "resize",
    "status",
)


def _core() -> Iterator[Resource]:
    local = _group("", "v1", namespaced=True)
    cluster = _group("", "v1", namespaced=False)
    yield local("bindings", "Binding", verbs=_CREATE)
    yield cluster("componentstatuses", "ComponentStatus", "cs", verbs=("get", "list"))
    yield local("configmaps", "ConfigMap", "cm")
    yield local("endpoints", "Endpoints", "ep")
    yield local("events", "Event", "ev")
    yield local("limitranges", "LimitRange", "limits")
    verbs = tuple(verb for verb in ALL_VERBS if verb != "deletecollection")
    yield cluster("namespaces", "Namespace", "ns", ("finalize", "status"), verbs=verbs)
    yield cluster("nodes", "Node", "no", ("proxy", "status"))
    yield local("persistentvolumeclaims", "PersistentVolumeClaim", "pvc", _STATUS)
    yield cluster("persistentvolumes", "PersistentVolume", "pv", _STATUS)
    yield local("pods", "Pod", "po", _POD_SUBRESOURCES, categories=_ALL)
    yield local("podtemplates", "PodTemplate")
    yield local("replicationcontrollers", "ReplicationController", "rc", _SCALE, categories=_ALL)
    yield local("resourcequotas", "ResourceQuota", "quota", _STATUS)
    yield local("secrets", "Secret")
    yield local("serviceaccounts", "ServiceAccount", "sa", ("token",))
    yield local("services", "Service", "svc", ("proxy", "status"), categories=_ALL)


def _workloads() -> Iterator[Resource]:
    apps = _group("apps", "v1", namespaced=True)
    yield apps("controllerrevisions", "ControllerRevision")
    yield apps("daemonsets", "DaemonSet", "ds", _STATUS, categories=_ALL)
    yield apps("deployments", "Deployment", "deploy", _SCALE, categories=_ALL)
    yield apps("replicasets", "ReplicaSet", "rs", _SCALE, categories=_ALL)
    yield apps("statefulsets", "StatefulSet", "sts", _SCALE, categories=_ALL)
    batch = _group("batch", "v1", namespaced=True)
    yield batch("cronjobs", "CronJob", "cj", _STATUS, categories=_ALL)
    yield batch("jobs", "Job", "", _STATUS, categories=_ALL)
    scaling = _group("autoscaling", "v2", namespaced=True)
    yield scaling("horizontalpodautoscalers", "HorizontalPodAutoscaler", "hpa", _STATUS, categories=_ALL)
    yield _group("policy", "v1", namespaced=True)("poddisruptionbudgets", "PodDisruptionBudget", "pdb", _STATUS)


def _network() -> Iterator[Resource]:
    yield _group("discovery.k8s.io", "v1", namespaced=True)("endpointslices", "EndpointSlice")
    local = _group("networking.k8s.io", "v1", namespaced=True)
    cluster = _group("networking.k8s.io", "v1", namespaced=False)
    yield cluster("ingressclasses", "IngressClass")
    yield local("ingresses", "Ingress", "ing", _STATUS)
    yield cluster("ipaddresses", "IPAddress", "ip")
    yield local("networkpolicies", "NetworkPolicy", "netpol")
    yield cluster("servicecidrs", "ServiceCIDR", "", _STATUS)


def _access() -> Iterator[Resource]:
    rbac = _group("rbac.authorization.k8s.io", "v1", namespaced=True)
    rbac_cluster = _group("rbac.authorization.k8s.io", "v1", namespaced=False)
    yield rbac_cluster("clusterrolebindings", "ClusterRoleBinding")
    yield rbac_cluster("clusterroles", "ClusterRole")
    yield rbac("rolebindings", "RoleBinding")
    yield rbac("roles", "Role")
    authorization = _group("authorization.k8s.io", "v1", namespaced=False)
    yield _group("authorization.k8s.io", "v1", namespaced=True)(
        "localsubjectaccessreviews", "LocalSubjectAccessReview", verbs=_CREATE
    )
    yield authorization("selfsubjectaccessreviews", "SelfSubjectAccessReview", verbs=_CREATE)
    yield authorization("selfsubjectrulesreviews", "SelfSubjectRulesReview", verbs=_CREATE)
    yield authorization("subjectaccessreviews", "SubjectAccessReview", verbs=_CREATE)
    authentication = _group("authentication.k8s.io", "v1", namespaced=False)
    yield authentication("selfsubjectreviews", "SelfSubjectReview", verbs=_CREATE)
    yield authentication("tokenreviews", "TokenReview", verbs=_CREATE)
    yield _group("certificates.k8s.io", "v1", namespaced=False)(
        "certificatesigningrequests", "CertificateSigningRequest", "csr", ("approval", "status")
    )


def _machinery() -> Iterator[Resource]:
    yield _group("events.k8s.io", "v1", namespaced=True)("events", "Event", "ev")
    yield _group("coordination.k8s.io", "v1", namespaced=True)("leases", "Lease")
    yield _group("scheduling.k8s.io", "v1", namespaced=False)("priorityclasses", "PriorityClass", "pc")
    yield _group("node.k8s.io", "v1", namespaced=False)("runtimeclasses", "RuntimeClass")
    extensions = _group("apiextensions.k8s.io", "v1", namespaced=False)
    yield extensions(
        "customresourcedefinitions", "CustomResourceDefinition", "crd crds", _STATUS, categories=("api-extensions",)
    )
    yield _group("apiregistration.k8s.io", "v1", namespaced=False)(
        "apiservices", "APIService", "", _STATUS, categories=("api-extensions",)
    )
    admission = _group("admissionregistration.k8s.io", "v1", namespaced=False)
    hooks = {"categories": ("api-extensions",)}
    yield admission("mutatingwebhookconfigurations", "MutatingWebhookConfiguration", **hooks)
    yield admission("validatingadmissionpolicies", "ValidatingAdmissionPolicy", "", _STATUS, **hooks)
    yield admission("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", **hooks)
    yield admission("validatingwebhookconfigurations", "ValidatingWebhookConfiguration", **hooks)
    storage = _group("storage.k8s.io", "v1", namespaced=False)
    yield storage("csidrivers", "CSIDriver")
    yield storage("csinodes", "CSINode")
    yield _group("storage.k8s.io", "v1", namespaced=True)("csistoragecapacities", "CSIStorageCapacity")
    yield storage("storageclasses", "StorageClass", "sc")
    yield storage("volumeattachments", "VolumeAttachment", "", _STATUS)


def builtin_resources() -> tuple[Resource, ...]:
    """Every resource that the server has before any CustomResourceDefinition, core group first."""
    return (*_core(), *_workloads(), *_network(), *_access(), *_machinery())


BUILTIN: Mapping[str, Resource] = {resource.name: resource for resource in builtin_resources()}
"""By `plural[.group]`."""

SAME_STORAGE: Mapping[str, str] = {"events.events.k8s.io": "events"}
"""Resources that are another view of the same objects."""
