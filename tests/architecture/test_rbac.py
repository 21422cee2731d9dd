"""RBAC in deploy/ is exactly what the code declares that it needs: nothing missing, nothing granted for later."""

import pkgutil
from collections.abc import Iterator
from importlib import import_module
from types import ModuleType
from typing import Any, cast

import bot.cluster
from bot.cluster.scope import CONFIG_MAPS
from bot.domain.access import Need
from bot.probes.catalogue import PROBES
from tests.architecture.manifests import Manifest, documents, manifests, the
from tests.architecture.tree import ROOT

Atom = tuple[str, str, str, str]
"""(namespace or "", verb, API group, resource)"""

OUR_NAMESPACE = "cnibot"


def modules(package: ModuleType) -> Iterator[ModuleType]:
    """All modules below a package, imported."""
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        yield import_module(found.name)


def declared() -> set[Need]:
    """Every need that stands at the top of a module of bot.cluster, and those of the probes."""
    needs = {need for probe in PROBES for need in probe.needs}
    for module in modules(bot.cluster):
        for value in vars(module).values():
            items = cast("tuple[object, ...]", value) if isinstance(value, tuple) else (value,)
            needs |= {item for item in items if isinstance(item, Need)}
    return needs


def wanted() -> set[Atom]:
    """What the code declares. ConfigMaps are granted by name, for all namespaces."""
    return {
        ("" if need.resource == "configmaps" else need.namespace, need.verb, need.group, need.resource)
        for need in declared()
    }


def granted(items: list[Manifest]) -> set[Atom]:
    """What the roles among some objects allow."""
    return {
        (item["metadata"].get("namespace", ""), verb, group, resource)
        for item in items
        if item["kind"] in {"Role", "ClusterRole"}
        for rule in item["rules"]
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def all_granted() -> set[Atom]:
    """What deploy/ allows with all its variants."""
    return granted([item for _, item in manifests()])


def test_nothing_that_is_needed_is_missing() -> None:
    assert sorted(wanted() - all_granted()) == []


def test_nothing_is_granted_that_nobody_needs() -> None:
    assert sorted(all_granted() - wanted()) == []


def test_config_maps_are_granted_by_name_only() -> None:
    rules: list[dict[str, Any]] = [
        rule for rule in the("ClusterRole", "cnibot")["rules"] if "configmaps" in rule["resources"]
    ]

    assert [rule["resourceNames"] for rule in rules] == [sorted({name for _, name in CONFIG_MAPS})]


def test_base_changes_nothing_outside_our_namespace() -> None:
    base = granted(documents(ROOT / "deploy" / "rbac.yaml"))
    changing = {atom for atom in base if atom[1] not in {"get", "list", "watch"}}

    assert {namespace for namespace, *_ in changing} == {OUR_NAMESPACE}
    assert {resource for *_, resource in changing} == {"pods", "pods/exec"}


def test_secrets_are_never_read() -> None:
    assert not {atom for atom in all_granted() if "secrets" in atom[3] or "*" in atom}
