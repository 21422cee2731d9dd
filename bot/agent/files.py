"""Reading small files that others own: bounded, never waiting, never following a final link out of a pod."""

import os
import stat

SMALL_BYTES = 8192
PROC_BYTES = 1 << 20


def read_text(path: str, limit: int = PROC_BYTES) -> str:
    """At most `limit` bytes of a file of /proc or /sys. OSError when it cannot be read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return _read(fd, limit)
    finally:
        os.close(fd)


def read_foreign_text(path: str, limit: int = SMALL_BYTES) -> str:
    """At most `limit` bytes of a regular file in somebody else's file system.

    A pod decides what stands there: a pipe would hold the agent for ever, a link could point anywhere. Both are
    refused with OSError.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("not a regular file")
        return _read(fd, limit)
    finally:
        os.close(fd)


def _read(fd: int, limit: int) -> str:
    parts: list[bytes] = []
    while limit > 0 and (part := os.read(fd, min(limit, 1 << 16))):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts).decode("utf-8", "replace")
