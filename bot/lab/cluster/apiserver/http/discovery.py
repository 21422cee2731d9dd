"""Discovery: which groups, versions and resources there are, in the old form and in the aggregated one."""

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


def group_entry(group: str, version: str) -> dict[str, Any]:
    """A group, as `/apis` and `/apis/GROUP` show it."""
    entry = {"groupVersion": f"{group}/{version}", "version": version}
    return {"name": group, "versions": [entry], "preferredVersion": entry}


def group_list(resources: Iterable[Resource]) -> dict[str, Any]:
    """`/apis`."""
    entries = [group_entry(name, of[0].version) for name, of in groups(resources).items() if name]
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
            version = {
                "version": members[0].version,
                "resources": [_aggregated(resource) for resource in members],
                "freshness": "Current",
            }
            items.append({"metadata": {"name": group} if group else {}, "versions": [version]})
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
