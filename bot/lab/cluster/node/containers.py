"""Start a program in a sandbox: an image's Python function, or a command that the image has."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import termios
import traceback
from collections.abc import Sequence
from pathlib import Path

from bot.lab.cluster import linux
from bot.lab.cluster.images.registry import Container, Image, find_image
from bot.lab.cluster.names import Json

IMAGES = Path("/run/images")


class NoSuchProgramError(Exception):
    """The image lacks the program; the sentence is runc's."""


def install(images: Sequence[Image]) -> None:
    """Lay out ``/run/images/NAME/bin``: exactly the programs that each image has."""
    for image in images:
        directory = IMAGES / image.directory / "bin"
        directory.mkdir(parents=True, exist_ok=True)
        for name, target in image.links():
            (directory / name).symlink_to(target)
        for name, text in image.scripts.items():
            (directory / name).write_text(text)
            (directory / name).chmod(0o755)


def start(request: Json, stdio: Sequence[int]) -> int:
    """The pid of the started program, leader of its own session. Raises NoSuchProgramError.

    ``request``: sandbox (pause pid, 0 for the host itself), image ("" for the host), argv, env, cwd, tty, main
    (true: the container's own process, which may be the image's function).
    """
    image = find_image(request["image"]) if request["image"] else None
    program = _resolve(request, image)
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            _become(request, stdio)
            code = _run(request, image, program)
        except SystemExit as done:
            code = done.code if isinstance(done.code, int) else 1
        except BaseException:  # noqa: BLE001 - the container's log gets it, as for any crashing program
            traceback.print_exc()
        finally:
            _flush()
            os._exit(code)
    return pid


def _resolve(request: Json, image: Image | None) -> str | None:
    """Path of the program to execute; None for the image's own function."""
    argv: list[str] = request["argv"]
    if image is None:
        if shutil.which(argv[0]) is None:
            raise NoSuchProgramError(f'exec: "{argv[0]}": executable file not found in $PATH')
        return argv[0]
    if request["main"] and image.runs_itself(argv, args_only=bool(request.get("args_only"))):
        return None
    path = IMAGES / image.directory / "bin" / Path(argv[0]).name
    if not path.exists():
        if "/" in argv[0]:
            raise NoSuchProgramError(f'exec: "{argv[0]}": stat {argv[0]}: no such file or directory')
        raise NoSuchProgramError(f'exec: "{argv[0]}": executable file not found in $PATH')
    return str(path)


def _become(request: Json, stdio: Sequence[int]) -> None:
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_DFL)
    os.setsid()
    for target, source in enumerate(stdio):
        os.dup2(source, target)
    os.closerange(3, 4096)
    if request.get("tty"):
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    if request["sandbox"]:
        _enter(int(request["sandbox"]))
    os.chdir(request.get("cwd") or "/")


def _enter(pid: int) -> None:
    kinds = (("net", linux.NEWNET), ("uts", linux.NEWUTS), ("mnt", linux.NEWNS))
    fds = [(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC), kind) for name, kind in kinds]
    for fd, kind in fds:
        linux.setns(fd, kind)
        os.close(fd)


def _run(request: Json, image: Image | None, program: str | None) -> int:
    env: dict[str, str] = {**os.environ, **request["env"]} if image is None else dict(request["env"])
    if image is not None:
        env["PATH"] = str(IMAGES / image.directory / "bin")
    if program is not None:
        os.execvpe(program, request["argv"], env)  # noqa: S606 - no shell is meant
    assert image is not None
    name = image.name.rpartition("/")[2]
    linux.set_process_name(name)
    linux.set_command_line([f"/{name}", *request["argv"]])
    sys.stdout = os.fdopen(1, "w", buffering=1, encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, encoding="utf-8", closefd=False)
    os.environ.clear()
    os.environ.update(env)
    return image.main(Container(argv=tuple(request["argv"]), env=env)) or 0


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # the reader has gone; there is nobody to tell
            continue
