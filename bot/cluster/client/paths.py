"""Which permission a request needs, from its method and path.

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#determine-the-request-verb
"""

from dataclasses import dataclass
from urllib.parse import quote

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """A request as an authorizer sees it. `resource` includes the subresource ("pods/exec")."""

    verb: str
    group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""

    @property
    def what(self) -> str:
        """What it is about: "pods shop/web" (also for a subresource), "daemonsets.apps in shop", "/version"."""
        plural = self.resource if self.resource.startswith("/") else self.resource.partition("/")[0]
        kind = f"{plural}.{self.group}" if self.group else plural
        if not self.name:
            return f"{kind} in {self.namespace}" if self.namespace else kind
        return f"{kind} {self.namespace}/{self.name}" if self.namespace else f"{kind} {self.name}"


def attributes(method: str, path: str, *, is_watch: bool = False) -> Attributes:
    """The attributes of a request for `path` (without its query)."""
    parts = [part for part in path.split("/") if part]
    if parts[:1] == ["api"] and len(parts) > 2:
        group, rest = "", parts[2:]
    elif parts[:1] == ["apis"] and len(parts) > 3:
        group, rest = parts[1], parts[3:]
    else:
        return Attributes(verb=method.lower(), resource=path)
    namespace = ""
    if rest[0] == "namespaces" and len(rest) > 2:
        namespace, rest = rest[1], rest[2:]
    resource, name, *sub = [*rest, ""][: max(2, len(rest))]
    return Attributes(
        verb=_verb(method, has_name=bool(name), is_watch=is_watch),
        group=group,
        resource="/".join([resource, *sub]),
        namespace=namespace,
        name=name,
    )


def _verb(method: str, *, has_name: bool, is_watch: bool) -> str:
    if method == "GET":
        return "watch" if is_watch else "get" if has_name else "list"
    if method == "DELETE":
        return "delete" if has_name else "deletecollection"
    return _VERBS.get(method, method.lower())


def api_path(resource: str, *, group: str = "", version: str = "v1", namespace: str = "", name: str = "") -> str:
    """The path of a resource; `resource` may end in a subresource only together with `name` ("pods/exec")."""
    plural, _, sub = resource.partition("/")
    parts = ["apis", group, version] if group else ["api", version]
    parts += ["namespaces", namespace] if namespace else []
    parts += [plural, *([name] if name else []), *([sub] if sub else [])]
    return "/" + "/".join(quote(part, safe="") for part in parts)
