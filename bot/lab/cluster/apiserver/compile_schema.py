"""Make `data/types.json` from Kubernetes' published OpenAPI definitions.

Run as `python -m bot.lab.cluster.apiserver.compile_schema DEFINITIONS` where DEFINITIONS is the `_definitions.json` of
the wanted release in the PyPI package kubernetes-validate (Apache-2.0; Kubernetes' own schema). Only field names, their
shapes and their merge rules are kept, which is all that defaults, patches and server-side apply need.
"""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from bot.lab.cluster.apiserver.kinds import builtin_resources

_PREFIXES = (
    "io.k8s.apiextensions-apiserver.pkg.apis.",
    "io.k8s.kube-aggregator.pkg.apis.",
    "io.k8s.apimachinery.pkg.apis.",
    "io.k8s.apimachinery.pkg.",
    "io.k8s.api.",
)
_LEAVES = {
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": "string",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": "string",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": "intorstring",
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "quantity",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1": "any",
    "io.k8s.apimachinery.pkg.runtime.RawExtension": "any",
}


class _Compiler:
    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self.types: dict[str, Any] = {}

    def named(self, full_name: str) -> str:
        """The short name of a definition, which is compiled on first sight."""
        if leaf := _LEAVES.get(full_name):
            return leaf
        definition = self._definitions[full_name]
        if "properties" not in definition:
            return "any"
        name = next(full_name.removeprefix(prefix) for prefix in _PREFIXES if full_name.startswith(prefix))
        if name not in self.types:
            fields: dict[str, Any] = {}
            self.types[name] = {"fields": fields}
            if definition.get("x-kubernetes-map-type") == "atomic":
                self.types[name]["atomic"] = True
            for key, value in definition["properties"].items():
                fields[key] = self.shape(value)
        return name

    def shape(self, schema: Mapping[str, Any]) -> Any:
        """A scalar's or type's name, or an object for lists, maps and types with merge rules of their own."""
        rules: dict[str, Any] = {}
        if strategy := schema.get("x-kubernetes-patch-strategy"):
            rules["patch"] = strategy
        if merge_key := schema.get("x-kubernetes-patch-merge-key"):
            rules["merge_key"] = merge_key
        if schema.get("x-kubernetes-map-type") == "atomic":
            rules["atomic"] = True
        if "$ref" in schema:
            name = self.named(schema["$ref"].rpartition("/")[2])
            return {"type": name, **rules} if rules else name
        kinds = schema.get("type", "any")
        kind = kinds if isinstance(kinds, str) else kinds[0]
        if kind == "array":
            return {"items": self.shape(schema["items"]), **rules, **self._list_rules(schema)}
        if kind == "object" and "additionalProperties" in schema:
            return {"values": self.shape(schema["additionalProperties"]), **rules}
        return "any" if kind == "object" else str(kind)

    @staticmethod
    def _list_rules(schema: Mapping[str, Any]) -> dict[str, Any]:
        match schema.get("x-kubernetes-list-type"):
            case "map":
                return {"keys": schema["x-kubernetes-list-map-keys"]}
            case "set":
                return {"set": True}
            case None if schema.get("x-kubernetes-patch-merge-key"):
                return {"keys": [schema["x-kubernetes-patch-merge-key"]]}
            case None if "merge" in schema.get("x-kubernetes-patch-strategy", ""):
                return {"set": True}
            case _:
                return {}


def compile_types(definitions: Mapping[str, Any]) -> dict[str, Any]:
    """`kinds` (from `apiVersion/Kind` to a type's name) and `types` for all built-in resources."""
    compiler = _Compiler(definitions)
    by_kind = {
        (each["group"], each["version"], each["kind"]): name
        for name, definition in definitions.items()
        for each in definition.get("x-kubernetes-group-version-kind", ())
    }
    wanted = {(r.group, r.version, r.kind) for r in builtin_resources()}
    wanted |= {(s.group, s.version, s.kind) for r in builtin_resources() for s in r.subresources.values() if s.version}
    kinds = {
        f"{group}/{version}/{kind}" if group else f"{version}/{kind}": compiler.named(by_kind[group, version, kind])
        for group, version, kind in sorted(wanted)
        if (group, version, kind) in by_kind
    }
    return {"kinds": kinds, "types": dict(sorted(compiler.types.items()))}


def main(source: str) -> None:
    """Write the file beside this module."""
    definitions = msgspec.json.decode(Path(source).read_bytes())["$defs"]
    target = Path(__file__).with_name("data") / "types.json"
    target.write_bytes(msgspec.json.encode(compile_types(definitions)) + b"\n")


if __name__ == "__main__":
    main(sys.argv[1])
