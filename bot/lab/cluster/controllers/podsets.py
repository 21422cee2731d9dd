"""What controllers of pods share: owned pods, new pods from a template, readiness, hashes, rounded percentages."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver import names
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.selectors import from_object, matches_labels
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.timestamps import parse
from bot.lab.cluster.controllers.loop import Key, Mapper, controller_of, key_of, owned_by

Obj = Mapping[str, Any]
_FNV_OFFSET, _FNV_PRIME, _MASK = 0x811C9DC5, 0x01000193, 0xFFFFFFFF


def template_hash(value: Any) -> str:
    """A short hash of a pod template (FNV-1a), spelled with letters that cannot make words, like those in pod names."""
    digest = _FNV_OFFSET
    for byte in json.dumps(value, sort_keys=True, separators=(",", ":")).encode():
        digest = ((digest ^ byte) * _FNV_PRIME) & _MASK
    return names.safe_encode(str(digest))


def owner_reference(owner: Obj) -> dict[str, Any]:
    """What makes an object belong to its controller."""
    metadata = owner["metadata"]
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def new_pod(owner: Obj, template: Obj, extra_labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """A pod from a template."""
    wanted = sub(template, "metadata")
    metadata: dict[str, Any] = {
        "generateName": f"{owner['metadata']['name']}-",
        "labels": {**sub(wanted, "labels"), **(extra_labels or {})},
        "ownerReferences": [owner_reference(owner)],
    }
    if annotations := wanted.get("annotations"):
        metadata["annotations"] = annotations
    if finalizers := wanted.get("finalizers"):
        metadata["finalizers"] = finalizers
    return {"metadata": metadata, "spec": dict(template["spec"])}


def owned(storage: Storage, resource: str, owner: Obj) -> list[Obj]:
    """The objects of a resource that an owner controls."""
    uid = owner["metadata"]["uid"]
    found = storage.peek(resource, owner["metadata"]["namespace"])
    return [obj for obj in found if (reference := controller_of(obj)) is not None and reference["uid"] == uid]


def claimed_by(storage: Storage, kind: str, resource: str) -> Mapper:
    """The mapper from an object to its controller of this kind, or to those that would adopt it."""
    owner = owned_by(kind)

    def claimants(obj: Obj) -> Iterable[Key]:
        if controller_of(obj) is not None:
            yield from owner(obj)
            return
        for candidate in storage.peek(resource, obj["metadata"]["namespace"]):
            if selects(candidate["spec"].get("selector"), obj):
                yield key_of(candidate)

    return claimants


def adopt(storage: Storage, resource: str, owner: Obj) -> None:
    """Take over matching objects that have no controller, as real controllers do."""
    metadata, selector = owner["metadata"], from_object(owner["spec"].get("selector"))
    if not selector or metadata.get("deletionTimestamp"):
        return
    orphans = [
        obj["metadata"]["name"]
        for obj in storage.peek(resource, metadata["namespace"])
        if controller_of(obj) is None
        and not obj["metadata"].get("deletionTimestamp")
        and matches_labels(selector, obj["metadata"].get("labels"))
    ]
    for name in orphans:
        storage.patch(
            resource, name, metadata["namespace"], {"metadata": {"ownerReferences": [owner_reference(owner)]}}
        )


def is_active(pod: Obj) -> bool:
    """Whether a pod runs or may still run."""
    return pod["status"].get("phase") not in {"Succeeded", "Failed"} and not pod["metadata"].get("deletionTimestamp")


def is_ready(pod: Obj) -> bool:
    """Whether its Ready condition is true."""
    return ready_since(pod) is not None


def ready_since(pod: Obj) -> str | None:
    """Since when it is ready, or None."""
    for condition in items_of(pod["status"], "conditions"):
        if condition["type"] == "Ready" and condition["status"] == "True":
            return condition.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"]
    return None


def is_available(storage: Storage, pod: Obj, min_ready_s: int) -> bool:
    """Whether it has been ready for long enough."""
    since = ready_since(pod)
    if since is None:
        return False
    return not min_ready_s or (storage.now() - parse(since)).total_seconds() >= min_ready_s


def by_disposability(pods: Iterable[Obj]) -> list[Obj]:
    """Pods in the order in which a controller gives them up: unscheduled, not ready, then the youngest."""

    def rank(pod: Obj) -> tuple[bool, bool, bool]:
        return bool(pod["spec"].get("nodeName")), pod["status"].get("phase") == "Running", is_ready(pod)

    youngest_first = sorted(pods, key=lambda pod: int(pod["metadata"]["resourceVersion"]), reverse=True)
    youngest_first.sort(key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
    return sorted(youngest_first, key=rank)


def selects(selector: Mapping[str, Any] | None, obj: Obj) -> bool:
    """Whether an object's own selector accepts another's labels."""
    return matches_labels(from_object(selector), obj["metadata"].get("labels"))
