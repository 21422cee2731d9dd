"""Is this user allowed to do that? Roles and bindings, evaluated anew for each request."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from bot.lab.cluster.apiserver.parts import items_of
from bot.lab.cluster.apiserver.tokens import User, account_name

if TYPE_CHECKING:
    from bot.lab.cluster.apiserver.store.storage import Storage

_RBAC = "rbac.authorization.k8s.io"
MASTERS = "system:masters"
"""Members of this group may do everything, whatever the roles say."""


@dataclass(frozen=True, kw_only=True)
class Attributes:
    """What is to be done; either to a resource or, with `resource` empty, to a path."""

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """`pods/exec`, as rules write it."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


class Decision(NamedTuple):
    """Whether it is allowed, and by what."""

    allowed: bool
    reason: str


class _Grant(NamedTuple):
    rule: Mapping[str, Any]
    reason: str


def authorize(storage: "Storage", user: User, attributes: Attributes) -> Decision:
    """The decision; RBAC can only allow, so whatever nothing allows is denied."""
    if MASTERS in user.groups:
        return Decision(allowed=True, reason="")
    for grant in _grants(storage, user, attributes.namespace):
        if rule_allows(grant.rule, attributes):
            return Decision(allowed=True, reason=grant.reason)
    return Decision(allowed=False, reason="")


def rules_for(storage: "Storage", user: User, namespace: str) -> list[Mapping[str, Any]]:
    """All rules that hold for a user in a namespace, cluster-wide ones included."""
    if MASTERS in user.groups:
        everything = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}
        return [everything, {"verbs": ["*"], "nonResourceURLs": ["*"]}]
    return [grant.rule for grant in _grants(storage, user, namespace)]


def _grants(storage: "Storage", user: User, namespace: str) -> Iterator[_Grant]:
    for binding in storage.peek(f"clusterrolebindings.{_RBAC}"):
        yield from _bound(storage, binding, user, "", "ClusterRoleBinding")
    if namespace:
        for binding in storage.peek(f"rolebindings.{_RBAC}", namespace):
            yield from _bound(storage, binding, user, namespace, "RoleBinding")


def _bound(storage: "Storage", binding: Mapping[str, Any], user: User, namespace: str, kind: str) -> Iterator[_Grant]:
    subject = next((each for each in items_of(binding, "subjects") if _is_subject(each, user, namespace)), None)
    if subject is None:
        return
    reference, name = binding["roleRef"], binding["metadata"]["name"]
    shown = f'"{name}/{namespace}"' if namespace else f'"{name}"'
    who = subject["name"]
    if subject["kind"] == "ServiceAccount":
        who = f"{subject['name']}/{subject.get('namespace') or namespace}"
    reason = (
        f'RBAC: allowed by {kind} {shown} of {reference["kind"]} "{reference["name"]}" to {subject["kind"]} "{who}"'
    )
    for rule in _rules(storage, reference, namespace):
        yield _Grant(rule, reason)


def _is_subject(subject: Mapping[str, Any], user: User, namespace: str) -> bool:
    match subject.get("kind"):
        case "User":
            return subject["name"] in {user.name, "*"}
        case "Group":
            return subject["name"] in user.groups
        case "ServiceAccount":
            return account_name(subject.get("namespace") or namespace, subject["name"]) == user.name
        case _:
            return False


def _rules(storage: "Storage", reference: Mapping[str, Any], namespace: str) -> Iterator[Mapping[str, Any]]:
    if reference["kind"] == "Role":
        role = storage.find(f"roles.{_RBAC}", reference["name"], namespace)
    else:
        role = storage.find(f"clusterroles.{_RBAC}", reference["name"])
    if role is not None:
        yield from items_of(role, "rules")


def rule_allows(rule: Mapping[str, Any], attributes: Attributes) -> bool:
    """Whether one rule covers the request."""
    verbs = items_of(rule, "verbs")
    if attributes.verb not in verbs and "*" not in verbs:
        return False
    if not attributes.resource:
        return any(_path_matches(pattern, attributes.path) for pattern in items_of(rule, "nonResourceURLs"))
    groups = items_of(rule, "apiGroups")
    if attributes.group not in groups and "*" not in groups:
        return False
    wanted = {attributes.full_resource, "*"}
    if attributes.subresource:
        wanted.add(f"*/{attributes.subresource}")
    if not wanted & set(items_of(rule, "resources")):
        return False
    names = items_of(rule, "resourceNames")
    return not names or attributes.name in names


def _path_matches(pattern: str, path: str) -> bool:
    if pattern in {"*", path}:
        return True
    return pattern.endswith("*") and path.startswith(pattern.rstrip("*"))


def refusal(user: User, attributes: Attributes) -> str:
    """The sentence of a 403, after `is forbidden: `."""
    if not attributes.resource:
        return f'User "{user.name}" cannot {attributes.verb} path "{attributes.path}"'
    scope = f'in the namespace "{attributes.namespace}"' if attributes.namespace else "at the cluster scope"
    return (
        f'User "{user.name}" cannot {attributes.verb} resource "{attributes.full_resource}" '
        f'in API group "{attributes.group}" {scope}'
    )
