"""Cilium's chart, as the operator has vendored it, and what the `helm` binary renders of it.

The archive's bytes are compared with a digest of the settings and rendered from a private copy, so what is rendered is
what was compared. Helm gets an argument list (no shell), no plugins, no repositories and no cluster.

Source: https://helm.sh/docs/helm/helm_template/
"""

import asyncio
import hashlib
import io
import re
import tarfile
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml

from bot.cluster.helm.program import HELM_S, MAX_OUTPUT, HelmMissingError, helm_environment, helm_version, run
from bot.domain.errors import bounded
from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.cilium.values import MINORS, NAMESPACE, RELEASE

MAX_CHART_BYTES = 8 << 20
_MAX_METADATA_BYTES = 1 << 20
_ORDER = (
    "Namespace", "ServiceAccount", "ConfigMap", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service",
    "PodDisruptionBudget", "DaemonSet", "Deployment",
)  # fmt: skip
"""The kinds that a plan makes, in the order in which it makes them. Nothing else is taken from a rendering."""
_GROUPS: Mapping[str, str] = {
    "apps/v1": "apps",
    "v1": "",
    "rbac.authorization.k8s.io/v1": "rbac.authorization.k8s.io",
    "policy/v1": "policy",
}

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class VendoredChart:
    """Where the chart lies, what it must be, and which program renders it."""

    archive: Path
    sha256: str
    helm: str = "helm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """What a chart comes to with some values."""

    version: str
    """The chart's."""
    sha256: str
    helm: str
    """The version of the program."""
    manifests: tuple[Manifest, ...]
    """In the order in which they are made."""


async def render(chart: VendoredChart, values: Mapping[str, Any], kubernetes: str) -> Rendered:
    """What the chart renders for this version of Kubernetes. Errors: `NotPlannedError`."""
    content = await asyncio.to_thread(_verified, chart)
    version = chart_version(content)
    helm = await _helm_version(chart.helm)
    with tempfile.TemporaryDirectory(prefix="cnibot-helm-") as private:
        copy = Path(private) / "chart.tgz"
        await asyncio.to_thread(copy.write_bytes, content)
        output = await _helm(
            chart.helm,
            ("template", RELEASE, str(copy), "--namespace", NAMESPACE, "--kube-version", kubernetes, "--values", "-"),
            home=private,
            given=yaml.safe_dump(dict(values), sort_keys=True).encode(),
        )
    return Rendered(version=version, sha256=chart.sha256, helm=helm, manifests=tuple(in_order(documents(output))))


def _verified(chart: VendoredChart) -> bytes:
    """The archive's content, if it is the one that the settings name."""
    try:
        with chart.archive.open("rb") as file:
            content = file.read(MAX_CHART_BYTES + 1)
    except OSError as error:
        raise NotPlannedError(f"The chart {chart.archive} cannot be read: {error.strerror}.") from error
    if len(content) > MAX_CHART_BYTES:
        raise NotPlannedError(f"{chart.archive} is larger than {MAX_CHART_BYTES >> 20} MiB.")
    found = hashlib.sha256(content).hexdigest()
    if found != chart.sha256.lower():
        raise NotPlannedError(
            f"{chart.archive} is not the chart that the settings name: its SHA-256 is {found}.",
            "Look where it comes from; then correct CNIBOT_CILIUM.",
        )
    return content


def chart_version(archive: bytes) -> str:
    """Which version of Cilium's chart it is. Errors: `NotPlannedError`: none that plans install."""
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as tar:
            file = tar.extractfile("cilium/Chart.yaml")
            metadata: Any = yaml.safe_load(file.read(_MAX_METADATA_BYTES)) if file else None
    except (tarfile.TarError, OSError, EOFError, KeyError, yaml.YAMLError) as error:
        raise NotPlannedError("The archive is no chart of Cilium's: it has no readable cilium/Chart.yaml.") from error
    found = cast("dict[str, Any]", metadata) if isinstance(metadata, dict) else {}
    version = str(found.get("version", ""))
    if found.get("name") != RELEASE or version.rpartition(".")[0] not in MINORS or not re.fullmatch(r"[\d.]+", version):
        name = bounded(f"{found.get('name')} {version}", 60)
        raise NotPlannedError(f"Plans install charts of Cilium {MINORS[0]} to {MINORS[-1]}, not {name}.")
    return version


async def _helm_version(program: str) -> str:
    try:
        return await helm_version(program)
    except HelmMissingError as error:
        raise NotPlannedError(str(error)) from error


async def _helm(program: str, arguments: Sequence[str], *, home: str, given: bytes = b"") -> bytes:
    """What helm prints. Errors: `NotPlannedError` with what it complains of."""
    environment = {**helm_environment(home), "HOME": home, "KUBECONFIG": "/dev/null"}
    try:
        done = await run(program, arguments, environment, deadline_s=HELM_S, given=given)
    except HelmMissingError as error:
        raise NotPlannedError(str(error)) from error
    except TimeoutError as error:
        raise NotPlannedError(f"{program} {arguments[0]} did not end within {HELM_S:.0f} s.") from error
    if done.code:
        raise NotPlannedError(f"helm {arguments[0]} failed: {done.why}")
    if len(done.output) > MAX_OUTPUT:
        raise NotPlannedError(f"The chart renders more than {MAX_OUTPUT >> 20} MiB.")
    return done.output


def documents(output: bytes) -> Iterator[Manifest]:
    """The objects of a rendering. Errors: `NotPlannedError`."""
    try:
        found: list[Any] = [one for one in yaml.safe_load_all(output) if one is not None]
    except yaml.YAMLError as error:
        raise NotPlannedError("What helm rendered is no YAML.") from error
    for one in found:
        manifest = cast("Manifest", one) if isinstance(one, dict) else {}
        if not isinstance(manifest.get("metadata"), dict):
            raise NotPlannedError("What helm rendered holds something that is no object.")
        yield manifest


def in_order(manifests: Iterator[Manifest]) -> list[Manifest]:
    """As they are made. Errors: `NotPlannedError`: there is something that a plan does not make."""
    found = list(manifests)
    for one in found:
        what = bounded(f"{one.get('kind')} {one['metadata'].get('name')}", 80)
        if one.get("kind") not in _ORDER or one.get("apiVersion") not in _GROUPS:
            raise NotPlannedError(f"The chart renders {what}: plans make no such objects.")
        if "helm.sh/hook" in (one["metadata"].get("annotations") or {}):
            raise NotPlannedError(f"The chart renders {what} as a hook: plans run none.")
    return sorted(found, key=lambda one: _ORDER.index(one["kind"]))


def group_of(manifest: Manifest) -> str:
    """The API group of an object that `in_order` let pass."""
    return _GROUPS[manifest["apiVersion"]]
