"""An API server's refusal as one of our errors."""

from msgspec import Struct

from bot.cluster.client.decoding import decode_object
from bot.cluster.client.paths import Attributes
from bot.cluster.client.wire import Response
from bot.domain.errors import (
    ApiError,
    ConflictError,
    ExpiredError,
    ForbiddenError,
    NotFoundError,
    OverloadedError,
    RejectedError,
    ServerError,
    UnauthorizedError,
    bounded,
)


class StatusCause(Struct, frozen=True):
    """One of the details of a Status."""

    reason: str = ""
    message: str = ""
    field: str = ""


class StatusDetails(Struct, frozen=True, rename="camel"):
    """The machine-readable part of a Status."""

    name: str = ""
    kind: str = ""
    causes: tuple[StatusCause, ...] = ()
    retry_after_seconds: int = 0


class Status(Struct, frozen=True):
    """Kubernetes' answer where there is no object to answer with."""

    status: str = ""
    message: str = ""
    reason: str = ""
    code: int = 0
    details: StatusDetails = StatusDetails()


def status_of(body: bytes) -> Status:
    """The Status in a body; for anything else a Status whose message is the body's beginning."""
    try:
        return decode_object(body, Status)
    except ValueError:
        return Status(message=bounded(body[:1200].decode("utf-8", "replace")))


def error_of(answer: Response, asked: Attributes, *, server: str) -> ApiError:
    """The error that this answer means for what was asked."""
    status = status_of(answer.body)
    if answer.status in {429, 503, 504}:
        wait_s = answer.retry_after_s or status.details.retry_after_seconds or None
        return OverloadedError(server, status=answer.status, retry_after_s=wait_s, message=status.message)
    if answer.status >= 500:
        said = bounded(status.message) or "it does not say why"
        return ServerError(
            f"The API server {server} failed (HTTP {answer.status}): {said}.",
            status=answer.status,
            reason=status.reason,
            message=status.message,
        )
    return _refusal(answer.status, status, asked, server)


def _refusal(code: int, status: Status, asked: Attributes, server: str) -> ApiError:
    message = status.message
    match code:
        case 401:
            return UnauthorizedError(server, message)
        case 403:
            why = _admission(message)
            return ForbiddenError(_verb(asked, message), asked.resource, asked.namespace, group=asked.group, why=why)
        case 404:
            return NotFoundError(asked.what, message)
        case 409:
            return ConflictError(asked.what, reason=status.reason, message=message)
        case 410:
            return ExpiredError(asked.what, message)
        case _:
            return RejectedError(
                f"The API server refuses to {asked.verb} {asked.what} (HTTP {code}): {bounded(message)}.",
                status=code,
                reason=status.reason,
                message=message,
            )


def _admission(message: str) -> str:
    """Why admission refused; "" for a refusal by RBAC, which our own sentence says better."""
    if " cannot " in message and " resource " in message:
        return ""
    return message


def _verb(asked: Attributes, message: str) -> str:
    """A WebSocket's GET on pods/exec needs "get", and since Kubernetes 1.35 "create" besides; the answer says which."""
    if asked.resource != "pods/exec":
        return asked.verb
    return "get" if " cannot get " in message else "create"
