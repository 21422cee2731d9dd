"""Discovery: which groups, versions and resources there are, in the old form and in the aggregated one."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bot.lab.cluster.apiserver.kinds import Resource, Subresource

VERSION: Mapping[str, str] = {
    "major": "1",
    "minor": "36",
    "emulationMajor": "1",
    "emulationMinor": "36",
    "minCompatibilityMajor": "1",
    "minCompatibilityMinor": "35",
    "gitVersion": "v1.36.2",
    "gitCommit": "$Format:%H$",
    "gitTreeState": "",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "go1.27.3",
    "compiler": "gc",
    "platform": "linux/amd64",
}
_VERSION = re.compile(r"v(\d+)(?:(alpha|beta)(\d+))?")
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


def core_versions(server_address: str) -> dict[str, Any]:
    """`/api`."""
    addresses = [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}]
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": addresses}


def groups(resources: Iterable[Resource]) -> dict[str, list[Resource]]:
    """Resources by group, the core group first."""
    found: dict[str, list[Resource]] = {}
    for resource in resources:
        found.setdefault(resource.group, []).append(resource)
    return found


def versions(members: Iterable[Resource]) -> list[str]:
    """The versions of a group, as API servers prefer them: stable ones, then betas, then alphas, the newest first."""
    return sorted({resource.version for resource in members}, key=_stability, reverse=True)


def _stability(version: str) -> tuple[int, int, int]:
    found = _VERSION.fullmatch(version)
    if found is None:
        return (0, 0, 0)
    return ({"": 3, "beta": 2, "alpha": 1}[found[2] or ""], int(found[1]), int(found[3] or 0))


def group_entry(group: str, members: Iterable[Resource]) -> dict[str, Any]:
    """A group, as `/apis` and `/apis/GROUP` show it."""
    entries = [{"groupVersion": f"{group}/{version}", "version": version} for version in versions(members)]
    return {"name": group, "versions": entries, "preferredVersion": entries[0]}


def group_list(resources: Iterable[Resource]) -> dict[str, Any]:
    """`/apis`."""
    entries = [group_entry(name, of) for name, of in groups(resources).items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": entries}


def _legacy(resource: Resource) -> list[dict[str, Any]]:
    entry: dict[str, Any] = {
        "name": resource.plural,
        "singularName": resource.singular_name,
        "namespaced": resource.namespaced,
        "kind": resource.kind,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "watch" in resource.verbs:
        entry["storageVersionHash"] = resource.storage_version_hash
    return [entry, *(_legacy_sub(resource, name, sub) for name, sub in sorted(resource.subresources.items()))]


def _legacy_sub(resource: Resource, name: str, sub: Subresource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": f"{resource.plural}/{name}",
        "singularName": "",
        "namespaced": resource.namespaced,
        "kind": sub.kind,
        "verbs": list(sub.verbs),
    }
    return entry | ({"group": sub.group, "version": sub.version} if sub.version else {})


def resource_list(group: str, version: str, resources: Iterable[Resource]) -> dict[str, Any]:
    """`/api/v1` or `/apis/GROUP/VERSION`."""
    entries = [entry for resource in resources for entry in _legacy(resource)]
    document = {"kind": "APIResourceList", "groupVersion": f"{group}/{version}" if group else version}
    if group:
        document["apiVersion"] = "v1"
    return document | {"resources": entries}


def aggregated(resources: Iterable[Resource], *, core: bool) -> dict[str, Any]:
    """`/api` or `/apis` in the form `apidiscovery.k8s.io/v2`: everything in one document."""
    items: list[dict[str, Any]] = []
    for group, members in groups(resources).items():
        if (group == "") is core:
            served = [
                {
                    "version": version,
                    "resources": [_aggregated(resource) for resource in members if resource.version == version],
                    "freshness": "Current",
                }
                for version in versions(members)
            ]
            items.append({"metadata": {"name": group} if group else {}, "versions": served})
    return {"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": items}


def _kind(resource: Resource, kind: str, group: str = "", version: str = "") -> dict[str, str]:
    if resource.group and not version:
        group, version = resource.group, resource.version
    return {"group": group, "version": version, "kind": kind}


def _aggregated(resource: Resource) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _kind(resource, resource.kind),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular_name,
        "verbs": list(resource.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if resource.subresources:
        entry["subresources"] = [
            {
                "subresource": name,
                "responseKind": _kind(resource, sub.kind, sub.group, sub.version),
                "verbs": list(sub.verbs),
            }
            for name, sub in sorted(resource.subresources.items())
        ]
    return entry
