"""Running nft and iptables-save in a namespace: bounded in time and size, killed when nobody waits any more."""

import asyncio
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path

from bot.agent.netns import Home

OUTPUT_BYTES = 16 << 20
ERROR_TEXT = 200
SEARCH_PATH = os.pathsep.join(("/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/local/bin", "/usr/bin", "/bin"))


class ToolError(Exception):
    """A tool is not there, failed, printed too much or took too long; the message says which."""


def find_tool(*names: str) -> str:
    """The path of the first of these tools that is there. ToolError when none is."""
    path = os.pathsep.join(filter(None, (os.environ.get("PATH"), SEARCH_PATH)))
    for name in names:
        if found := shutil.which(name, path=path):
            return found
    raise ToolError(f"{names[0]} is not installed")


async def run_tool(home: Home, netns_fd: int, command: Sequence[str], limit_s: float, threads: Executor) -> bytes:
    """What the tool prints, run inside a namespace. ToolError when it does not end well in time."""
    process = _start(home, netns_fd, command)
    name = Path(command[0]).name
    deadline = asyncio.timeout(limit_s)
    try:
        async with deadline:
            output, error = await asyncio.get_running_loop().run_in_executor(threads, _drain, process)
    except TimeoutError:
        if not deadline.expired():
            raise
        raise ToolError(f"{name} took longer than {limit_s:g} s") from None
    finally:
        if process.poll() is None:
            _kill(process)
            process.wait()
    if len(output) > OUTPUT_BYTES:
        raise ToolError(f"{name} printed more than {OUTPUT_BYTES >> 20} MiB")
    if process.returncode:
        raise ToolError(
            f"{name}: {error.decode('utf-8', 'replace').strip()[:ERROR_TEXT] or f'exit code {process.returncode}'}"
        )
    return output


def _start(home: Home, netns_fd: int, command: Sequence[str]) -> subprocess.Popen[bytes]:
    """Synchronous on purpose: the child takes the namespace that this thread visits while it forks."""
    with home.visiting(netns_fd):
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"LC_ALL": "C", "PATH": SEARCH_PATH},
            process_group=0,
        )


def _kill(process: subprocess.Popen[bytes]) -> None:
    """The whole group: some nodes wrap iptables in a script, whose child would keep the pipe open."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)


def _drain(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Both outputs, as far as they are wanted; the process is over when it returns."""
    assert process.stdout
    assert process.stderr
    with process.stdout, process.stderr:
        output = process.stdout.read(OUTPUT_BYTES + 1)
        if len(output) > OUTPUT_BYTES:
            _kill(process)
        error = process.stderr.read(ERROR_TEXT * 4)
    process.wait()
    return output, error
