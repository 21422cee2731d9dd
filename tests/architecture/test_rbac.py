"""RBAC in deploy/ is exactly what the code declares that it needs: nothing missing, nothing granted for later."""

from collections.abc import Iterable
from typing import Any

from bot.cluster.access.ladder import rung_needs
from bot.cluster.snapshot.scope import CONFIG_MAPS, SNAPSHOT_NEEDS
from bot.domain.access import Need
from bot.domain.facts import Rung
from bot.probes.catalogue import PROBES
from bot.remediation.rights import EXECUTOR_NEEDS
from tests.architecture.manifests import MANIFESTS, Manifest, documents, manifests, the

Atom = tuple[str, str, str, str]
"""(namespace or "", verb, API group, resource)"""

OUR_NAMESPACE = "cnibot"


BY_HAND = {("", "create", "", "namespaces"): "for a laptop without deploy/, which makes the namespace itself"}
"""Needs that deploy/ does not grant, and why."""


def atoms(needs: Iterable[Need]) -> set[Atom]:
    """What some needs ask for. ConfigMaps are granted by name, for all namespaces."""
    found = {
        ("" if need.resource == "configmaps" else need.namespace, need.verb, need.group, need.resource)
        for need in needs
    }
    return found - BY_HAND.keys()


def base_needs() -> set[Atom]:
    """What the probes, the snapshot and node agents ask for."""
    probes = [need for probe in PROBES for need in probe.needs]
    return atoms([*probes, *SNAPSHOT_NEEDS, *rung_needs(Rung.AGENT, bot_namespace=OUR_NAMESPACE)])


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


def in_file(name: str) -> set[Atom]:
    """What a file of deploy/ allows."""
    return granted(documents(MANIFESTS / name))


def test_base_misses_nothing_that_is_needed() -> None:
    assert sorted(base_needs() - in_file("rbac.yaml")) == []


def test_base_grants_nothing_that_nobody_needs() -> None:
    assert sorted(in_file("rbac.yaml") - base_needs()) == []


def test_rungs_by_exec_are_granted_apart() -> None:
    """The right to run commands in every pod is not for everybody."""
    assert in_file("exec/rbac.yaml") == atoms([*rung_needs(Rung.EXEC), *rung_needs(Rung.CNI_AGENT)])


def test_carrying_plans_out_is_granted_apart() -> None:
    """Who only diagnoses needs no right to change anything."""
    assert in_file("remediation/rbac.yaml") == atoms(EXECUTOR_NEEDS)


def test_each_rule_of_the_code_has_its_file() -> None:
    files = {file for file, item in manifests() if item["kind"] in {"Role", "ClusterRole"}}

    assert files == {"rbac.yaml", "exec/rbac.yaml", "remediation/rbac.yaml"}


def test_roles_are_bound_to_the_bot_alone() -> None:
    for _, item in manifests():
        if item["kind"] in {"RoleBinding", "ClusterRoleBinding"}:
            assert item["roleRef"]["name"] == item["metadata"]["name"]
            assert item["subjects"] == [{"kind": "ServiceAccount", "name": "cnibot", "namespace": OUR_NAMESPACE}]


def test_config_maps_are_granted_by_name_only() -> None:
    rules: list[dict[str, Any]] = [
        rule for rule in the("ClusterRole", "cnibot")["rules"] if "configmaps" in rule["resources"]
    ]

    assert [rule["resourceNames"] for rule in rules] == [sorted({name for _, name in CONFIG_MAPS})]


def test_base_changes_nothing_outside_our_namespace() -> None:
    changing = {atom for atom in in_file("rbac.yaml") if atom[1] not in {"get", "list", "watch"}}

    assert {namespace for namespace, *_ in changing} == {OUR_NAMESPACE}
    assert {resource for *_, resource in changing} == {"pods", "pods/exec"}


def test_secrets_are_never_read() -> None:
    assert not {atom for atom in granted([item for _, item in manifests()]) if "secrets" in atom[3] or "*" in atom}
