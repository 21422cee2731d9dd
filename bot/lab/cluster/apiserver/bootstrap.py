"""What a cluster has before anybody asks for anything: namespaces, the `kubernetes` Service, roles, priorities."""

from typing import TYPE_CHECKING, Any

from bot.lab.cluster.apiserver.kinds import ALL_VERBS, builtin_resources

if TYPE_CHECKING:
    from bot.lab.cluster.apiserver.store.storage import Storage

_RBAC = "rbac.authorization.k8s.io"
NAMESPACES = ("default", "kube-node-lease", "kube-public", "kube-system")
_READ = ["get", "list", "watch"]
_WRITE = ["create", "delete", "deletecollection", "patch", "update"]
_DISCOVERY = ["/api", "/api/*", "/apis", "/apis/*", "/healthz", "/livez", "/openapi", "/openapi/*", "/readyz"]
_ISSUER = ["/.well-known/openid-configuration", "/.well-known/openid-configuration/"]
_KEYS = ["/openid/v1/jwks", "/openid/v1/jwks/"]


def bootstrap(storage: "Storage", *, api_address: str = "172.30.0.1", api_port: int = 6443) -> None:
    """Create all of it; `api_address` is where the `kubernetes` Service leads."""
    for name in NAMESPACES:
        storage.create("namespaces", {"metadata": {"name": name}}, manager="kube-apiserver")
    for name, value in (("system-cluster-critical", 2_000_000_000), ("system-node-critical", 2_000_001_000)):
        critical: dict[str, Any] = {"metadata": {"name": name}, "value": value}
        storage.create("priorityclasses.scheduling.k8s.io", critical, manager="kube-apiserver")
    for name, rules in _cluster_roles().items():
        labels = {"kubernetes.io/bootstrapping": "rbac-defaults"}
        role = {"metadata": {"name": name, "labels": labels}, "rules": rules}
        storage.create(f"clusterroles.{_RBAC}", role, manager="kube-apiserver")
    for name, groups in _BINDINGS.items():
        storage.create(f"clusterrolebindings.{_RBAC}", _binding(name, groups), manager="kube-apiserver")
    _kubernetes_service(storage, api_address, api_port)


def _rule(verbs: list[str], groups: list[str], resources: list[str]) -> dict[str, Any]:
    return {"verbs": verbs, "apiGroups": groups, "resources": resources}


def _paths(paths: list[str]) -> dict[str, Any]:
    return {"verbs": ["get"], "nonResourceURLs": paths}


_BINDINGS = {
    "cluster-admin": ["system:masters"],
    "system:basic-user": ["system:authenticated"],
    "system:discovery": ["system:authenticated"],
    "system:public-info-viewer": ["system:authenticated", "system:unauthenticated"],
    "system:service-account-issuer-discovery": ["system:serviceaccounts"],
}


def _cluster_roles() -> dict[str, list[dict[str, Any]]]:
    reviews = ["selfsubjectaccessreviews", "selfsubjectrulesreviews"]
    basic = [
        _rule(["create"], ["authorization.k8s.io"], reviews),
        _rule(["create"], ["authentication.k8s.io"], ["selfsubjectreviews"]),
    ]
    version = ["/version", "/version/"]
    public = [_paths(["/.well-known", "/.well-known/*"]), _paths(["/healthz", "/livez", "/readyz", *version])]
    everything = [_rule(["*"], ["*"], ["*"]), {"verbs": ["*"], "nonResourceURLs": ["*"]}]
    return {
        "cluster-admin": everything,
        "admin": _namespace_rules(_READ + _WRITE, rbac=True),
        "edit": _namespace_rules(_READ + _WRITE, rbac=False),
        "view": _namespace_rules(_READ, rbac=False),
        "system:basic-user": basic,
        "system:discovery": [_paths([*_DISCOVERY, *version])],
        "system:public-info-viewer": public,
        "system:service-account-issuer-discovery": [_paths([*_ISSUER, *_KEYS])],
    }


def _namespace_rules(verbs: list[str], *, rbac: bool) -> list[dict[str, Any]]:
    """What admin, edit and view may do with namespaced objects (view sees no secrets and runs nothing)."""
    writes = "create" in verbs
    rules: list[dict[str, Any]] = []
    by_group: dict[str, list[str]] = {}
    for resource in builtin_resources():
        if resource.namespaced and resource.verbs == ALL_VERBS and resource.group != _RBAC:
            by_group.setdefault(resource.group, []).append(resource.plural)
    for group, plurals in by_group.items():
        names = [name for name in plurals if writes or name not in {"secrets", "serviceaccounts"}]
        extra = ["pods/log", "pods/status"] if not group else []
        rules.append(_rule(verbs, [group], [*names, *extra]))
    if writes:
        rules.append(_rule([*_READ, *_WRITE], [""], ["pods/attach", "pods/exec", "pods/portforward", "pods/eviction"]))
    rules.append(_rule(_READ, [""], ["namespaces"]))
    if rbac:
        rules.append(_rule(verbs, [_RBAC], ["roles", "rolebindings"]))
    return rules


def _binding(name: str, groups: list[str]) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}},
        "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": _RBAC, "kind": "Group", "name": group} for group in groups],
    }


def _kubernetes_service(storage: "Storage", address: str, port: int) -> None:
    labels = {"component": "apiserver", "provider": "kubernetes"}
    ports = [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": port}]
    spec = {"clusterIP": "10.43.0.1", "ports": ports}
    service = {"metadata": {"name": "kubernetes", "labels": labels}, "spec": spec}
    storage.create("services", service, namespace="default", manager="kube-apiserver")
    backend = [{"name": "https", "port": port, "protocol": "TCP"}]
    conditions = {"ready": True}
    slice_: dict[str, Any] = {
        "metadata": {"name": "kubernetes", "labels": {"kubernetes.io/service-name": "kubernetes"}},
        "addressType": "IPv4",
        "endpoints": [{"addresses": [address], "conditions": conditions}],
        "ports": backend,
    }
    storage.create("endpointslices.discovery.k8s.io", slice_, namespace="default", manager="kube-apiserver")
    mirrored = {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}, "name": "kubernetes"}}
    subsets = [{"addresses": [{"ip": address}], "ports": backend}]
    storage.create("endpoints", {**mirrored, "subsets": subsets}, namespace="default", manager="kube-apiserver")
