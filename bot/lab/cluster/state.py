"""A lab's state directory: where it is, which daemon it belongs to, and how the daemon is reached."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import socket
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path

from bot.lab.cluster.linux import start_time_ticks
from bot.lab.cluster.names import Json
from bot.lab.errors import LabError


def default_directory(environment: Mapping[str, str], home: Path) -> Path:
    """``$CNIBOT_STATE_DIR/lab``, else below ``$XDG_STATE_HOME``, else ``~/.local/state/cnibot/lab``."""
    if environment.get("CNIBOT_STATE_DIR"):
        return Path(environment["CNIBOT_STATE_DIR"]) / "lab"
    if environment.get("XDG_STATE_HOME"):
        return Path(environment["XDG_STATE_HOME"]) / "cnibot" / "lab"
    return home / ".local" / "state" / "cnibot" / "lab"


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """The directory of one lab; two labs have two."""

    path: Path

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.path / "kubeconfig"

    @property
    def log(self) -> Path:
        """The daemon's output."""
        return self.path / "log"

    @property
    def _record(self) -> Path:
        return self.path / "lab.json"

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Hold the directory while starting a lab in it; a second starter is refused at once."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise LabError(f"another process is starting a lab in {self.path}") from error
            yield

    def write_daemon(self, pid: int) -> None:
        """Remember the daemon; its start time guards against a recycled pid."""
        self._record.write_text(json.dumps({"pid": pid, "started": start_time_ticks(pid)}) + "\n")

    def daemon_pid(self) -> int | None:
        """The pid of the daemon if it still runs."""
        try:
            record: Json = json.loads(self._record.read_text())
            pid, started = int(record["pid"]), record["started"]
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return pid if started is not None and start_time_ticks(pid) == started else None

    def clear(self) -> None:
        """Forget a lab that has ended: everything but the lock."""
        for entry in self.path.iterdir():
            if entry.name == "lock":
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()

    def remove(self) -> None:
        """Clear, and remove the directory itself."""
        self.clear()
        (self.path / "lock").unlink(missing_ok=True)
        self.path.rmdir()

    def listen(self) -> socket.socket:
        """The control socket's listening end."""
        sock = socket.socket(socket.AF_UNIX)
        with self._short_path() as path:
            sock.bind(path)
        sock.listen(64)
        return sock

    def connect(self) -> socket.socket:
        """A connection to the daemon; raises LabError when no lab runs here."""
        sock = socket.socket(socket.AF_UNIX)
        try:
            with self._short_path() as path:
                sock.connect(path)
        except OSError as error:
            sock.close()
            raise LabError(f"no lab is running in {self.path} (start one with: cnibot lab up)") from error
        return sock

    @contextlib.contextmanager
    def _short_path(self) -> Generator[str]:
        """Socket addresses hold 107 bytes; through the directory's descriptor any directory fits."""
        fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{fd}/control.sock"
        finally:
            os.close(fd)
