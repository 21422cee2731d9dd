"""What a delete request does: at once, after a grace period, or when finalizers are done."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from bot.lab.cluster.apiserver.errors import ApiError, about, conflict
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import sub
from bot.lab.cluster.apiserver.timestamps import seconds

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"


@dataclass(frozen=True, kw_only=True)
class Options:
    """`DeleteOptions`, with None where the request says nothing."""

    grace_period_s: int | None = None
    uid: str | None = None
    resource_version: str | None = None
    propagation: str | None = None
    """`Foreground`, `Background` or `Orphan`."""
    dry_run: bool = False


class Step(NamedTuple):
    """How the object looks after the request, and whether it is gone."""

    obj: dict[str, Any]
    gone: bool


def decide(resource: Resource, obj: dict[str, Any], options: Options, now: datetime) -> Step:
    """The step that a request causes; changes `obj`, raises 409 when a precondition fails."""
    _check(resource, obj, options)
    metadata = obj["metadata"]
    if resource.name == "namespaces":
        return _end_namespace(obj, now)
    if options.propagation == "Orphan":
        _finalize_with(metadata, ORPHAN)
    elif options.propagation == "Foreground":
        _finalize_with(metadata, FOREGROUND)
    grace_s = _grace_s(resource, obj, options)
    if grace_s > 0:
        return Step(_terminate(obj, grace_s, now), gone=False)
    if metadata.get("finalizers"):
        return Step(_terminate(obj, 0, now), gone=False)
    return Step(obj, gone=True)


def is_over(obj: dict[str, Any]) -> bool:
    """Whether an update removed the last thing that kept a deleted object."""
    metadata = obj["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers"):
        return False
    if obj.get("kind") == "Namespace":
        return not sub(obj, "spec").get("finalizers")
    return not metadata.get("deletionGracePeriodSeconds")


def _check(resource: Resource, obj: dict[str, Any], options: Options) -> None:
    metadata = obj["metadata"]
    for word, wanted, stored in (
        ("UID", options.uid, metadata["uid"]),
        ("ResourceVersion", options.resource_version, metadata["resourceVersion"]),
    ):
        if wanted is None or wanted == stored:
            continue
        why = f"the {word} in the precondition ({wanted}) does not match the {word} in record ({stored})."
        if word == "UID":
            why += " The object might have been deleted and then recreated"
        else:
            why += " The object might have been modified"
        error = conflict(resource.kind, metadata["name"], why)
        details = about(resource.name, metadata["name"]) | {"kind": resource.kind}
        raise ApiError(error.code, error.reason, error.message, details)


def _finalize_with(metadata: dict[str, Any], finalizer: str) -> None:
    finalizers = metadata.setdefault("finalizers", [])
    if finalizer not in finalizers:
        finalizers.append(finalizer)


def _grace_s(resource: Resource, obj: dict[str, Any], options: Options) -> int:
    if resource.name != "pods":
        return 0
    spec, status = obj["spec"], sub(obj, "status")
    if not spec.get("nodeName") or status.get("phase") in {"Succeeded", "Failed"}:
        return 0
    if options.grace_period_s is not None:
        return max(options.grace_period_s, 0)
    return spec.get("terminationGracePeriodSeconds", 30)


def _terminate(obj: dict[str, Any], grace_s: int, now: datetime) -> dict[str, Any]:
    """The object with its deletion time; a second request can only shorten the wait."""
    metadata = obj["metadata"]
    if "deletionTimestamp" in metadata and grace_s >= metadata.get("deletionGracePeriodSeconds", 0):
        return obj
    if "generation" in metadata and "deletionTimestamp" not in metadata:
        metadata["generation"] += 1
    metadata["deletionTimestamp"] = seconds(now + timedelta(seconds=grace_s))
    metadata["deletionGracePeriodSeconds"] = grace_s
    return obj


def _end_namespace(obj: dict[str, Any], now: datetime) -> Step:
    metadata = obj["metadata"]
    if not sub(obj, "spec").get("finalizers") and not metadata.get("finalizers"):
        return Step(obj, gone=True)
    metadata.setdefault("deletionTimestamp", seconds(now))
    obj.setdefault("status", {})["phase"] = "Terminating"
    return Step(obj, gone=False)
