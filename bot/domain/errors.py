"""What can go wrong around cnibot: one sentence each, facts as fields.

Adapters translate their libraries' errors into these where they call them and chain the cause; nobody parses a message.
`str(error)` is a whole sentence for people, with what to do where that is known.
"""

from collections.abc import Sequence
from typing import Literal

_MAX_DETAIL = 300

Trouble = Literal["refused", "dns", "tls", "no-route", "dropped", "credentials", "other"]
"""What keeps us from talking to an API server."""


def bounded(text: str, limit: int = _MAX_DETAIL) -> str:
    """One line of `text`, control characters replaced, cut to `limit` characters."""
    line = "".join(character if character.isprintable() else " " for character in text[: limit * 4])
    line = " ".join(line.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


class BotError(Exception):
    """Base of everything that can go wrong around cnibot."""


class ElsewhereError(Exception):
    """Another process of ours failed or died, and has said how: worth another try, and no traceback of who waited."""


class ConfigurationError(BotError):
    """A kubeconfig or a setting cannot be used."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} cannot be used: {bounded(why).rstrip('.')}.")
        self.what = what
        self.why = why


class UnreachableError(BotError):
    """The API server did not speak with us: refused, no route, no such name, or its certificate is not trusted."""

    def __init__(self, server: str, kind: Trouble, detail: str) -> None:
        super().__init__(_UNREACHABLE[kind].format(server=server, detail=bounded(detail)))
        self.server = server
        self.kind = kind
        self.detail = detail


_UNREACHABLE = {
    "refused": "The API server {server} refuses connections: does it run, and is its address right?",
    "dns": "The name of the API server {server} cannot be resolved ({detail}): check the kubeconfig, VPN and DNS.",
    "tls": "The API server {server} cannot be trusted ({detail}): check certificate-authority-data in the kubeconfig.",
    "no-route": "The API server {server} cannot be reached ({detail}): check VPN, firewall and proxy.",
    "dropped": "The API server {server} closed the connection in the middle of an answer ({detail}).",
    "credentials": "The credential plugin for {server} failed: {detail}.",
    "other": "Talking to the API server {server} failed: {detail}.",
}


class DeadlineError(BotError):
    """Our own deadline passed first. `what` is the beginning of the sentence: "The command in a pod did not end"."""

    def __init__(self, what: str, deadline_s: float) -> None:
        super().__init__(f"{what} within {deadline_s:.3g} s.")
        self.what = what
        self.deadline_s = deadline_s


class ApiError(BotError):
    """The API server answered with an error. Subclasses name those that callers treat differently."""

    def __init__(self, sentence: str, *, status: int, reason: str = "", message: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.reason = reason
        """Kubernetes' own word: "NotFound", "Conflict", …"""
        self.message = message


class UnauthorizedError(ApiError):
    """401: the credentials are missing, wrong or expired."""

    def __init__(self, server: str, message: str = "") -> None:
        super().__init__(
            f"The API server {server} does not accept the credentials: they are wrong or have expired. Log in again.",
            status=401,
            reason="Unauthorized",
            message=message,
        )
        self.server = server


class ForbiddenError(ApiError):
    """403: the permission named by `verb`, `resource` and `namespace` is missing, or admission refused."""

    def __init__(self, verb: str, resource: str, namespace: str = "", *, group: str = "", why: str = "") -> None:
        where = f"in namespace {namespace}" if namespace else "in the whole cluster"
        full = f"{resource}.{group}" if group else resource
        reason = f": {bounded(why)}" if why else ""
        super().__init__(f"Not allowed to {verb} {full} {where}{reason}.", status=403, reason="Forbidden", message=why)
        self.verb = verb
        self.resource = resource
        self.namespace = namespace
        self.group = group
        self.why = why
        """Why admission refused (PodSecurity, quota); "" when the permission is missing."""

    @property
    def permission(self) -> str:
        """The permission that would help: "list nodes", "create pods/exec in namespace shop"."""
        full = f"{self.resource}.{self.group}" if self.group else self.resource
        return f"{self.verb} {full}" + (f" in namespace {self.namespace}" if self.namespace else "")


class NotFoundError(ApiError):
    """404: no such object, or the server does not serve this API."""

    def __init__(self, what: str, message: str = "") -> None:
        super().__init__(f"{what} does not exist.", status=404, reason="NotFound", message=message)
        self.what = what


class ConflictError(ApiError):
    """409: it exists already, or has changed since it was read."""

    def __init__(self, what: str, *, reason: str, message: str) -> None:
        why = "exists already" if reason == "AlreadyExists" else "has changed meanwhile"
        super().__init__(f"{what} {why}.", status=409, reason=reason, message=message)
        self.what = what


class ExpiredError(ApiError):
    """410: a continue token or resourceVersion is too old; start again."""

    def __init__(self, what: str, message: str = "") -> None:
        super().__init__(f"{what} changed too much while it was read.", status=410, reason="Expired", message=message)


class RejectedError(ApiError):
    """400 or 422: the API server finds the request invalid."""


class OverloadedError(ApiError):
    """429, 503 or 504: the server asks to come back later, and did so each time."""

    def __init__(self, server: str, *, status: int, retry_after_s: float | None, message: str = "") -> None:
        super().__init__(
            f"The API server {server} is overloaded (HTTP {status}): {bounded(message) or 'try again later'}.",
            status=status,
            reason="TooManyRequests" if status == 429 else "ServiceUnavailable",
            message=message,
        )
        self.retry_after_s = retry_after_s


class ServerError(ApiError):
    """The API server failed inside (5xx), or answered what no Kubernetes answers."""


class UnknownNamespaceError(BotError):
    """No such namespace; `nearest` are names that resemble it, best first."""

    def __init__(self, name: str, nearest: Sequence[str] = ()) -> None:
        hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
        super().__init__(f"There is no namespace {bounded(name, 80)!r}.{hint}")
        self.name = name
        self.nearest = tuple(nearest)


class PodsHiddenError(BotError):
    """403 on the pods that were asked about: they may be there or not, and so may their namespace."""

    def __init__(self, namespace: str, permission: str) -> None:
        shown = bounded(namespace, 80)
        super().__init__(f"I may not list pods in {shown} (403): nothing is known. Needed: {bounded(permission)}.")
        self.namespace = namespace
        self.permission = permission


class UnknownPodError(BotError):
    """No such pod in the namespace; `nearest` are names that resemble it, best first."""

    def __init__(self, namespace: str, name: str, nearest: Sequence[str] = ()) -> None:
        hint = f" Did you mean {' or '.join(nearest)}?" if nearest else ""
        super().__init__(f"There is no pod {bounded(name, 80)!r} in namespace {bounded(namespace, 80)!r}.{hint}")
        self.namespace = namespace
        self.name = name
        self.nearest = tuple(nearest)


class ExecNotFoundError(BotError):
    """The command does not exist in the container (a distroless image, mostly)."""

    def __init__(self, command: str, pod: str, container: str = "") -> None:
        where = f"container {container} of {pod}" if container else pod
        super().__init__(f"There is no program {command!r} in {where}.")
        self.command = command
        self.pod = pod
        self.container = container


class ExecError(BotError):
    """The command could not be started, or its stream broke before its end was known."""

    def __init__(self, pod: str, why: str) -> None:
        super().__init__(f"Running a command in {pod} failed: {bounded(why)}.")
        self.pod = pod
        self.why = why


class TooLargeError(BotError):
    """An answer is larger than its bound."""

    def __init__(self, what: str, limit_bytes: int) -> None:
        super().__init__(f"{what} is larger than {limit_bytes // 2**20} MiB and was not read.")
        self.what = what
        self.limit_bytes = limit_bytes


class AgentError(BotError):
    """The node agent on `node` gave no usable report."""

    def __init__(self, node: str, why: str) -> None:
        super().__init__(f"The node agent on {node} gave no report: {bounded(why, 500).rstrip('.')}.")
        self.node = node
        self.why = why


class NotNowError(BotError):
    """What the work needs to know is not answered now. Whoever keeps it tries again, as often as it takes."""
