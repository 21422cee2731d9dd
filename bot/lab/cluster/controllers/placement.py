"""May this pod run on that node? Selectors, affinity, taints: what the scheduler and DaemonSets both ask."""

from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.selectors import from_object, matches_labels

Obj = Mapping[str, Any]
UNSCHEDULABLE = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}


def taints_of(node: Obj) -> list[Obj]:
    """A node's taints; a cordoned one has the taint that the node controller would add."""
    taints = list(items_of(node["spec"], "taints"))
    if node["spec"].get("unschedulable") and not any(taint["key"] == UNSCHEDULABLE["key"] for taint in taints):
        taints.append(UNSCHEDULABLE)
    return taints


def tolerates(tolerations: Iterable[Obj], taint: Obj) -> bool:
    """Whether one of the tolerations covers a taint."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: Obj, taint: Obj) -> bool:
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    exists = toleration.get("operator") == "Exists"
    if not toleration.get("key"):
        return exists
    if toleration["key"] != taint["key"]:
        return False
    return exists or (toleration.get("value") or "") == (taint.get("value") or "")


def untolerated(spec: Obj, node: Obj, effects: Iterable[str] = ("NoSchedule", "NoExecute")) -> Obj | None:
    """The first taint that keeps a pod away."""
    tolerations = items_of(spec, "tolerations")
    for taint in taints_of(node):
        if taint["effect"] in effects and not tolerates(tolerations, taint):
            return taint
    return None


def selects_node(spec: Obj, node: Obj) -> bool:
    """Whether the pod's node selector and required node affinity accept a node."""
    labels = sub(node["metadata"], "labels")
    if any(labels.get(key) != value for key, value in sub(spec, "nodeSelector").items()):
        return False
    affinity = sub(sub(spec, "affinity"), "nodeAffinity")
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if not required:
        return True
    return any(_matches_term(term, node) for term in items_of(required, "nodeSelectorTerms"))


def _matches_term(term: Obj, node: Obj) -> bool:
    expressions, fields = term.get("matchExpressions"), term.get("matchFields")
    if not expressions and not fields:
        return False
    names = {"metadata.name": node["metadata"]["name"]}
    by_label = matches_labels(from_object({"matchExpressions": expressions}), node["metadata"].get("labels"))
    return by_label and matches_labels(from_object({"matchExpressions": fields}), names)
