"""Directories that last as long as whoever made them; those of the killed go when the next one is made."""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def scratch(purpose: str) -> Generator[Path]:
    """A new directory `cnibot-PURPOSE-…` for temporary files, removed at the end.

    Its maker holds a lock on it, which the kernel takes away however the process ends. So what nobody holds was left
    behind by a killed one, and is removed here.
    """
    prefix = f"cnibot-{purpose}-"
    _sweep(prefix)
    directory, lock = _made(prefix)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(lock)


def _made(prefix: str) -> tuple[Path, int]:
    """A directory, and the descriptor that holds it."""
    while True:
        directory = Path(tempfile.mkdtemp(prefix=prefix))
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        if directory.exists():
            return directory, lock
        os.close(lock)  # somebody's sweep was faster


def _sweep(prefix: str) -> None:
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        try:
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # gone meanwhile, or not ours
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(lock)
