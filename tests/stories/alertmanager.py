"""The real Alertmanager (Debian's prometheus-alertmanager) and amtool."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.programs import ending_with_us

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
AMTOOL = shutil.which("amtool")

needs_alertmanager = pytest.mark.skipif(
    not (PROGRAM and AMTOOL) and not os.environ.get("CNIBOT_CI"),
    reason="no Alertmanager here: .ci/setup monitoring installs Debian's",
)


@dataclass(frozen=True)
class Alertmanager:
    """A running one."""

    url: str

    async def fire(self, name: str, **labels: str) -> None:
        """As Prometheus does, by amtool."""
        await self._amtool("alert", "add", name, *(f"{key}={value}" for key, value in labels.items()))

    async def end(self, name: str, **labels: str) -> None:
        """The same alert, over."""
        given = [f"{key}={value}" for key, value in labels.items()]
        await self._amtool("alert", "add", name, *given, "--end=2020-01-01T00:00:00Z", "--start=2019-01-01T00:00:00Z")

    async def _amtool(self, *arguments: str) -> None:
        assert AMTOOL
        process = await asyncio.create_subprocess_exec(
            AMTOOL, "--alertmanager.url", self.url, *arguments, stderr=asyncio.subprocess.PIPE
        )
        _, said = await process.communicate()
        assert process.returncode == 0, said.decode()


def _configure(directory: Path, receiver: dict[str, object], group_by: list[str]) -> Path:
    """Its configuration, in a directory of its own."""
    timing = {"group_wait": "100ms", "group_interval": "1s", "repeat_interval": "1h"}
    config = {
        "route": {"receiver": "cnibot", "group_by": group_by, **timing},
        "receivers": [{"name": "cnibot", **receiver}],
    }
    directory.mkdir()
    path = directory / "alertmanager.yml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return path


@asynccontextmanager
async def running(directory: Path, receiver: dict[str, object], group_by: list[str]) -> AsyncGenerator[Alertmanager]:
    """An Alertmanager with one receiver; gone afterwards."""
    assert PROGRAM, "CI installs it: .ci/setup monitoring"
    config = _configure(directory, receiver, group_by)
    port = free_port()
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *ending_with_us(PROGRAM),
            f"--config.file={config}",
            f"--storage.path={directory}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            stdout=log,
            stderr=log,
        )
    try:
        await _until_ready(port, process)
        yield Alertmanager(url=f"http://127.0.0.1:{port}")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def _until_ready(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(30):
        while True:
            assert process.returncode is None, "Alertmanager ended before it was ready"
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                await writer.wait_closed()
                return
