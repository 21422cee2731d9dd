"""deploy/ as data."""

from pathlib import Path
from typing import Any, cast

import yaml

from tests.architecture.tree import ROOT

MANIFESTS = ROOT / "deploy" / "manifests"
MONITORING = ROOT / "deploy" / "monitoring"
KUSTOMIZATIONS = [
    *sorted(path.parent for path in MANIFESTS.rglob("kustomization.yaml")),
    *sorted(path.parent for path in MONITORING.rglob("kustomization.yaml")),
]

Manifest = dict[str, Any]


def documents(path: Path) -> list[Manifest]:
    """The objects of a YAML file."""
    return [cast("Manifest", item) for item in yaml.safe_load_all(path.read_text(encoding="utf-8")) if item]


def manifests() -> list[tuple[str, Manifest]]:
    """(file, object) of everything that deploy/ would create, overlays included."""
    return [
        (str(path.relative_to(directory)), item)
        for directory in (MANIFESTS, MONITORING)
        for path in sorted(directory.rglob("*.yaml"))
        if path.name != "kustomization.yaml"
        for item in documents(path)
    ]


def the(kind: str, name: str) -> Manifest:
    """The one object of that kind and name."""
    (found,) = [item for _, item in manifests() if item["kind"] == kind and item["metadata"]["name"] == name]
    return found


def pod_specs() -> dict[str, Manifest]:
    """Pod specs by "Kind/name" of the workload that holds them."""
    return {
        f"{item['kind']}/{item['metadata']['name']}": item["spec"]["template"]["spec"]
        for _, item in manifests()
        if item["kind"] in {"Deployment", "DaemonSet", "Job", "StatefulSet"}
    }
