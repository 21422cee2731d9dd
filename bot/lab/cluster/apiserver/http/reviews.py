"""Reviews: questions about rights and identity that are answered, not stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bot.lab.cluster.apiserver import rbac
from bot.lab.cluster.apiserver.errors import Cause, bad_request, invalid
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store import managed
from bot.lab.cluster.apiserver.timestamps import seconds
from bot.lab.cluster.apiserver.tokens import Tokens, User

if TYPE_CHECKING:
    from bot.lab.cluster.apiserver.store.storage import Storage


def is_review(resource: Resource) -> bool:
    """Whether objects of this resource are answered instead of stored."""
    return resource.kind.endswith("Review")


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Who asks, and under which manager's name the question goes."""

    user: User
    manager: str


def answer(storage: "Storage", tokens: Tokens, resource: Resource, obj: dict[str, Any], asker: Asker) -> dict[str, Any]:
    """The review with its status; raises 400 and 422."""
    obj |= {"kind": resource.kind, "apiVersion": resource.api_version}
    metadata, user = obj.setdefault("metadata", {}), asker.user
    if resource.kind.endswith("AccessReview"):
        metadata["managedFields"] = managed.created(resource, obj, asker.manager, storage.now())
    spec = sub(obj, "spec")
    match resource.kind:
        case "SelfSubjectAccessReview":
            return obj | {"status": _access(storage, user, spec)}
        case "SubjectAccessReview" | "LocalSubjectAccessReview":
            return obj | {"status": _access(storage, _subject(resource, spec), spec)}
        case "SelfSubjectRulesReview":
            if not spec.get("namespace"):
                raise bad_request("no namespace on request")
            rules = rbac.rules_for(storage, user, spec["namespace"])
            return obj | {"metadata": {}, "spec": {}, "status": _rules(rules)}
        case "SelfSubjectReview":
            metadata = {"creationTimestamp": seconds(storage.now())}
            return {**obj, "metadata": metadata, "status": {"userInfo": _user_info(user)}}
        case _:
            return obj | {"status": _token(tokens, spec)}


def _access(storage: "Storage", user: User, spec: Mapping[str, Any]) -> dict[str, Any]:
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if bool(resource) == bool(path):
        shown = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        cause = Cause("FieldValueInvalid", f"Invalid value: null: {shown}", "spec.resourceAttributes")
        raise invalid("authorization.k8s.io", "SelfSubjectAccessReview", "", [cause])
    if resource:
        attributes = rbac.Attributes(
            verb=resource.get("verb", ""),
            group=resource.get("group", ""),
            resource=resource.get("resource", ""),
            subresource=resource.get("subresource", ""),
            name=resource.get("name", ""),
            namespace=resource.get("namespace", ""),
        )
    else:
        asked = sub(spec, "nonResourceAttributes")
        attributes = rbac.Attributes(verb=asked.get("verb", ""), path=asked.get("path", ""))
    decision = rbac.authorize(storage, user, attributes)
    return {"allowed": decision.allowed} | ({"reason": decision.reason} if decision.reason else {})


def _subject(resource: Resource, spec: Mapping[str, Any]) -> User:
    if not spec.get("user") and not spec.get("groups"):
        shown = "Invalid value: at least one of user or group must be specified"
        raise invalid(resource.group, resource.kind, "", [Cause("FieldValueInvalid", shown, "spec.user")])
    return User(name=spec.get("user", ""), groups=tuple(items_of(spec, "groups")))


def _rules(rules: list[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "resourceRules": [rule for rule in rules if "nonResourceURLs" not in rule],
        "nonResourceRules": [rule for rule in rules if "nonResourceURLs" in rule],
        "incomplete": False,
    }


def _user_info(user: User) -> dict[str, Any]:
    info: dict[str, Any] = {"username": user.name}
    if user.uid:
        info["uid"] = user.uid
    info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = {key: list(values) for key, values in user.extra.items()}
    return info


def _token(tokens: Tokens, spec: Mapping[str, Any]) -> dict[str, Any]:
    user = tokens.check(spec.get("token", ""))
    if user is None:
        return {"authenticated": False, "error": "invalid bearer token"}
    return {"authenticated": True, "user": _user_info(user)}
