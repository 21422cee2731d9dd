"""Custom resources: what a CustomResourceDefinition adds to the server."""

from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.kinds import Resource, Subresource
from bot.lab.cluster.apiserver.parts import items_of, sub

_VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")


def served_version(definition: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one version that the lab serves: the stored one."""
    versions = definition["spec"]["versions"]
    return next((version for version in versions if version.get("storage")), versions[0])


def resource_of(definition: Mapping[str, Any]) -> Resource:
    """The resource that a definition makes."""
    spec = definition["spec"]
    names, version = spec["names"], served_version(definition)
    subresources: dict[str, Subresource] = {}
    for name in sub(version, "subresources"):
        kind, group, number = ("Scale", "autoscaling", "v1") if name == "scale" else (names["kind"], "", "")
        subresources[name] = Subresource(kind=kind, verbs=("get", "patch", "update"), group=group, version=number)
    return Resource(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec.get("scope") == "Namespaced",
        singular=names.get("singular", ""),
        short_names=tuple(items_of(names, "shortNames")),
        categories=tuple(items_of(names, "categories")),
        verbs=_VERBS,
        subresources=subresources,
        list_kind=names.get("listKind", ""),
        custom=True,
        columns=tuple(items_of(version, "additionalPrinterColumns")),
    )
