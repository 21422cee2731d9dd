"""What a URL and a method ask for: verb, resource, namespace, name, subresource."""

from collections.abc import Mapping
from dataclasses import dataclass

from bot.lab.cluster.apiserver.rbac import Attributes
from bot.lab.cluster.apiserver.store.selectors import parse_fields

_VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})


@dataclass(frozen=True, kw_only=True)
class Target:
    """A request for a resource."""

    verb: str
    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def resource(self) -> str:
        """`plural[.group]`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def attributes(self, verb: str = "") -> Attributes:
        """What has to be allowed."""
        return Attributes(
            verb=verb or self.verb,
            group=self.group,
            resource=self.plural,
            subresource=self.subresource,
            name=self.name,
            namespace=self.namespace,
        )


def parse(method: str, path: str, query: Mapping[str, str]) -> Target | None:
    """What a request is for; None for a path that is no resource (`/version`, `/apis/apps/v1`, …)."""
    parts = [part for part in path.split("/") if part]
    match parts:
        case ["api", version, *rest]:
            group = ""
        case ["apis", group, version, *rest]:
            pass
        case _:
            return None
    if not rest:
        return None
    watching = rest[0] == "watch"  # the old spelling of ?watch=1
    if watching:
        rest = rest[1:]
    namespace, plural, name, subresource = _split(rest)
    if not plural:
        return None
    verb = _verb(method, name, query, watching=watching)
    if not name and verb in {"list", "watch", "deletecollection"}:
        name = _named(query)
    return Target(
        verb=verb,
        group=group,
        version=version,
        plural=plural,
        namespace=namespace,
        name=name,
        subresource=subresource,
    )


def _split(rest: list[str]) -> tuple[str, str, str, str]:
    """Namespace, plural, name and subresource."""
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and rest[2] not in _NAMESPACE_SUBRESOURCES:
        namespace, rest = rest[1], rest[2:]
    elif rest[:1] == ["namespaces"] and len(rest) > 1:
        namespace = rest[1]  # as the real server: a Namespace is checked in itself
    padded = [*rest, "", "", ""]
    return namespace, padded[0], padded[1], "/".join(rest[2:])


def _verb(method: str, name: str, query: Mapping[str, str], *, watching: bool) -> str:
    verb = _VERBS.get(method, "")
    if watching or (verb == "get" and query.get("watch", "").lower() in {"1", "true"}):
        return "watch"
    if verb == "get" and not name:
        return "list"
    if verb == "delete" and not name:
        return "deletecollection"
    return verb


def _named(query: Mapping[str, str]) -> str:
    """The name that a field selector fixes: authorization by `resourceNames` counts it."""
    if "metadata.name" not in (selector := query.get("fieldSelector", "")):
        return ""
    terms = [term for term in parse_fields(selector) if term.path == "metadata.name" and term.equal]
    return terms[0].value if terms else ""
