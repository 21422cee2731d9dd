"""What the API server needs of a node's kubelet: run a command in a container, read a container's log."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol


class ExecProcess(Protocol):
    """A command that runs in a container."""

    @property
    def stdout(self) -> AsyncIterator[bytes]:
        """What it writes, in pieces as they come; ends when it closes the stream."""
        ...

    @property
    def stderr(self) -> AsyncIterator[bytes]:
        """The same for standard error; empty with a terminal."""
        ...

    async def write_stdin(self, data: bytes) -> None:
        """Feed it; silently nothing once it closed its end."""
        ...

    async def close_stdin(self) -> None:
        """End of file on its standard input."""
        ...

    async def wait(self) -> int:
        """Its exit code (128 + signal when it was killed)."""
        ...

    def kill(self) -> None:
        """End it now, with what it started; a second call does nothing."""
        ...


class ExecError(Exception):
    """The command could not be started; the message is what runc says, for example
    `exec: "none": executable file not found in $PATH`.
    """


class KubeletApi(Protocol):
    """All the lab's kubelets in one: the pod's `spec.nodeName` says which of them answers."""

    async def exec(
        self, pod: dict[str, Any], container: str, argv: Sequence[str], *, stdin: bool, tty: bool
    ) -> ExecProcess:
        """Start `argv` in a container; raises `ExecError`."""
        ...

    def logs(
        self,
        pod: dict[str, Any],
        container: str,
        *,
        follow: bool,
        tail_lines: int | None,
        previous: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        """The container's log from its beginning (or its last lines); with `follow` until the container ends."""
        ...
