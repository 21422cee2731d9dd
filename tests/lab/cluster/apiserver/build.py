"""Objects for tests."""

from typing import Any

from bot.lab.cluster.apiserver.store.storage import Storage

Obj = dict[str, Any]


def namespace(storage: Storage, name: str = "shop") -> str:
    storage.create("namespaces", {"metadata": {"name": name}})
    return name


def pod(name: str = "a", *, node: str = "node-1", labels: dict[str, str] | None = None, **spec: Any) -> Obj:
    container = {"name": "main", "image": "img:1", "ports": [{"name": "http", "containerPort": 8080}]}
    metadata: Obj = {"name": name, "labels": labels or {"app": "web"}}
    return {"metadata": metadata, "spec": {"nodeName": node, "containers": [container], **spec}}


def node(storage: Storage, name: str = "node-1", *, ready: bool = True, **labels: str) -> None:
    storage.create("nodes", {"metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **labels}}})
    conditions = [{"type": "Ready", "status": str(ready), "reason": "KubeletReady"}]
    storage.patch("nodes", name, None, {"status": {"conditions": conditions}}, subresource="status")


def config_map(name: str = "settings", **data: str) -> Obj:
    return {"metadata": {"name": name}, "data": data}


def workload(name: str = "web", *, image: str = "nginx:1.27", **spec: Any) -> Obj:
    labels = {"app": name}
    container = {"name": name, "image": image, "ports": [{"name": "http", "containerPort": 8080}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "metadata": {"name": name, "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": template, **spec},
    }


def service(name: str = "web", **spec: Any) -> Obj:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    return {"metadata": {"name": name}, "spec": {"selector": {"app": "web"}, "ports": ports, **spec}}


def role(name: str, rules: list[Obj], account: str = "reader", namespace: str = "shop") -> tuple[Obj, Obj]:
    """A ClusterRole and the binding that gives it to a service account."""
    subject = {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    cluster_role = {"metadata": {"name": name}, "rules": rules}
    return cluster_role, {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]}


def grant(storage: Storage, rules: list[Obj], account: str = "reader", namespace: str = "shop") -> None:
    """A service account with a ClusterRole of these rules."""
    storage.create("serviceaccounts", {"metadata": {"name": account}}, namespace=namespace)
    cluster_role, binding = role(account, rules, account, namespace)
    storage.create("clusterroles.rbac.authorization.k8s.io", cluster_role)
    storage.create("clusterrolebindings.rbac.authorization.k8s.io", binding)
