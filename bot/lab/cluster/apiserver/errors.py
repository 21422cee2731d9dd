"""What the API server says when it refuses: Kubernetes `Status` objects, worded as a real 1.36 server words them."""

from collections.abc import Sequence
from typing import Any, NamedTuple


class Cause(NamedTuple):
    """One reason of a refusal: `reason` is the machine word, `field` a path such as `spec.ports[0].port`."""

    reason: str
    message: str
    field: str


class ApiError(Exception):
    """A refusal with its HTTP status; `details` is Kubernetes' own, None when the real server sends none."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: dict[str, Any] | None = None,
        *,
        list_continue: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.list_continue = list_continue
        """A fresh continue token (inconsistent list), sent with some 410s."""

    def to_status(self) -> dict[str, Any]:
        """The `Status` object for the response body."""
        status: dict[str, Any] = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {"continue": self.list_continue} if self.list_continue else {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            status["reason"] = self.reason
        if self.details is not None:
            status["details"] = self.details
        return status | {"code": self.code}


def about(resource: str, name: str = "") -> dict[str, Any]:
    """The `details` that name an object: `resource` is `plural[.group]`."""
    plural, _, group = resource.partition(".")
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    return details | {"kind": plural}


def bad_request(message: str) -> ApiError:
    """400 with this sentence."""
    return ApiError(400, "BadRequest", message)


def not_found(resource: str, name: str) -> ApiError:
    """404 for a named object."""
    return ApiError(404, "NotFound", f'{resource} "{name}" not found', about(resource, name))


def already_exists(resource: str, name: str) -> ApiError:
    """409 for a name that is taken."""
    return ApiError(409, "AlreadyExists", f'{resource} "{name}" already exists', about(resource, name))


def conflict(resource: str, name: str, why: str = "") -> ApiError:
    """409 for a write against another version than the stored one."""
    why = why or "the object has been modified; please apply your changes to the latest version and try again"
    message = f'Operation cannot be fulfilled on {resource} "{name}": {why}'
    return ApiError(409, "Conflict", message, about(resource, name))


def forbidden(resource: str, name: str, why: str) -> ApiError:
    """403; with an empty name the sentence is about the whole resource."""
    subject = f'{resource} "{name}"' if name else resource
    return ApiError(403, "Forbidden", f"{subject} is forbidden: {why}", about(resource, name))


def invalid(group: str, kind: str, name: str, causes: Sequence[Cause]) -> ApiError:
    """422 with every fault that validation found."""
    faults = [f"{cause.field}: {cause.message}" for cause in causes]
    joined = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    title = f"{kind}.{group}" if group else kind
    details: dict[str, Any] = {"name": name} if name else {}
    if group:
        details["group"] = group
    details["kind"] = kind
    details["causes"] = [{"reason": c.reason, "message": c.message, "field": c.field} for c in causes]
    return ApiError(422, "Invalid", f'{title} "{name}" is invalid: {joined}', details)


def expired(message: str, list_continue: str | None = None) -> ApiError:
    """410: the history that was asked for is gone."""
    return ApiError(410, "Expired", message, list_continue=list_continue)


def method_not_allowed(verb: str, resource: str) -> ApiError:
    """405 for a verb that the resource does not have."""
    message = "the server does not allow this method on the requested resource"
    return ApiError(405, "MethodNotAllowed", message, about(resource) if verb and resource else None)


def unsupported_media_type(accepted: Sequence[str]) -> ApiError:
    """415 with the media types that would do."""
    kinds = ", ".join(accepted)
    message = f"the body of the request was in an unknown format - accepted media types include: {kinds}"
    return ApiError(415, "UnsupportedMediaType", message)


def unauthorized() -> ApiError:
    """401: no token, a wrong one or an expired one."""
    return ApiError(401, "Unauthorized", "Unauthorized")


def invalid_query(parameter: str, value: str, shown: str = "") -> ApiError:
    """422 for a query parameter of a list or watch."""
    shown = shown or f'Invalid value: "{value}": strconv.ParseUint: parsing "{value}": invalid syntax'
    message = f'ListOptions.meta.k8s.io "" is invalid: {parameter}: {shown}'
    cause = {"reason": "FieldValueInvalid", "message": shown, "field": parameter}
    return ApiError(422, "Invalid", message, {"group": "meta.k8s.io", "kind": "ListOptions", "causes": [cause]})
