"""Commands in pods, over the API server's WebSocket."""

from collections.abc import Sequence
from dataclasses import dataclass

from bot.cluster.kube import Api

MAX_BYTES = 32 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """How a command ended and what it printed."""

    stdout: bytes
    stderr: bytes
    exit_code: int


async def run_in_pod(  # noqa: PLR0913 - where and what is five names already
    api: Api,
    namespace: str,
    pod: str,
    container: str,
    argv: Sequence[str],
    *,
    stdin: bytes = b"",
    deadline_s: float,
    max_bytes: int = MAX_BYTES,
) -> ExecResult:
    """What the command printed, and its exit code. Counted in `api.exec_calls`.

    Errors: `ExecNotFoundError`, `ForbiddenError`, `NotFoundError`, `DeadlineError`, `ExecError`, `TooLargeError`.
    """
    raise NotImplementedError
