"""Which fields a field selector may name, per resource, and the predicate that selectors make."""

from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.errors import bad_request
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.selectors import (
    FieldTerm,
    LabelSelector,
    Predicate,
    field_value,
    matches_labels,
    parse_fields,
)

_COMMON = frozenset({"metadata.name", "metadata.namespace"})
_INVOLVED = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_POD = (
    "spec.nodeName",
    "spec.restartPolicy",
    "spec.schedulerName",
    "spec.serviceAccountName",
    "spec.hostNetwork",
    "status.phase",
    "status.podIP",
    "status.podIPs",
    "status.nominatedNodeName",
)
_EVENT = ("reason", "reportingComponent", "source", "type", *(f"involvedObject.{part}" for part in _INVOLVED))
_EVENT_V1 = ("reason", "reportingController", "type", *(f"regarding.{part}" for part in _INVOLVED))
_MORE: Mapping[str, tuple[str, ...]] = {
    "pods": _POD,
    "nodes": ("spec.unschedulable",),
    "events": _EVENT,
    "events.events.k8s.io": _EVENT_V1,
    "secrets": ("type",),
    "namespaces": ("status.phase",),
    "services": ("spec.clusterIP", "spec.type"),
    "replicasets.apps": ("status.replicas",),
    "replicationcontrollers": ("status.replicas",),
    "jobs.batch": ("status.successful",),
    "certificatesigningrequests.certificates.k8s.io": ("spec.signerName",),
}
_CONVERTED = {"pods", "events", "nodes", "secrets", "namespaces", "services"}
"""Resources whose refusal is the short sentence of a hand-written conversion."""

_FALSE_WHEN_MISSING = {"spec.unschedulable", "spec.hostNetwork"}


def _check(resource: Resource, term: FieldTerm) -> None:
    if term.path in _COMMON or term.path in _MORE.get(resource.name, ()):
        return
    if resource.name in _CONVERTED:
        raise bad_request(f"field label not supported: {term.path}")
    raise bad_request(f'"{term.path}" is not a known field selector: only "metadata.name", "metadata.namespace"')


def _read(obj: Mapping[str, Any], path: str) -> str:
    if path == "source":
        return field_value(obj, "source.component") or field_value(obj, "reportingComponent")
    if path.startswith("regarding."):
        path = path.replace("regarding", "involvedObject")
    elif path == "reportingController":
        path = "reportingComponent"
    elif path == "status.podIPs":
        return ",".join(each.get("ip", "") for each in items_of(sub(obj, "status"), "podIPs"))
    elif path == "status.successful":
        path = "status.succeeded"
    return field_value(obj, path) or ("false" if path in _FALSE_WHEN_MISSING else "")


def predicate(resource: Resource, labels: LabelSelector, fields: str) -> Predicate:
    """What both selectors accept; raises 400 for a field that the resource does not offer."""
    terms = parse_fields(fields)
    for term in terms:
        _check(resource, term)
    if not labels and not terms:
        return _everything

    def accepts(obj: Mapping[str, Any]) -> bool:
        if labels and not matches_labels(labels, obj["metadata"].get("labels")):
            return False
        return all((_read(obj, term.path) == term.value) is term.equal for term in terms)

    return accepts


def _everything(_: Mapping[str, Any]) -> bool:
    return True
