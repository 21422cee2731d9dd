"""Pod templates of DaemonSets and Deployments: what of them counts, and which images they run."""

import hashlib
from collections.abc import Mapping
from typing import Any

from bot.cluster.cni.catalogue import image_version
from bot.cluster.writer import Object
from bot.domain.plan import Target, canonical, value_at
from bot.remediation.actions.draft import NotPlannedError

TEMPLATE = ("spec", "template")
RESTARTED = "kubectl.kubernetes.io/restartedAt"
_CHART = "helm.sh/chart"


def substance(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """A template without what a mere restart, or another version of the same chart, writes into it."""
    metadata: dict[str, Any] = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    for part, key in (("annotations", RESTARTED), ("labels", _CHART)):
        pairs: dict[str, str] = dict(metadata.pop(part, None) or {})
        pairs.pop(key, None)
        metadata[part] = pairs
    return {**template, "metadata": metadata}


def template_digest(obj: Object) -> str:
    """SHA-256 of the substance of an object's template."""
    return hashlib.sha256(canonical(substance(value_at(obj, TEMPLATE) or {}))).hexdigest()


def images(template: Mapping[str, Any]) -> dict[str, str]:
    """By container."""
    containers = value_at(template, ("spec", "containers")) or ()
    return {str(one.get("name")): str(one.get("image", "")) for one in containers}


def refuse_other_minor(current: Mapping[str, Any], other: Mapping[str, Any], number: int | str, main: Target) -> None:
    """Errors: `NotPlannedError`: the other template, of that revision, runs another minor version than the current."""
    before, after = images(current), images(other)
    for name in sorted(before.keys() & after.keys()):
        old, new = image_version(before[name]), image_version(after[name])
        if old and new and old.split(".")[:2] != new.split(".")[:2]:
            raise NotPlannedError(
                f"Revision {number} of {main} runs {name} {new}, the present one {old}: another minor version.",
                "CRDs and controllers of the newer one stay behind. Go back the way that its upgrade notes describe.",
            )
