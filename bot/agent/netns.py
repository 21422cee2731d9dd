"""Entering network namespaces: short, synchronous visits of the one thread that the agent has.

A socket belongs for ever to the namespace that it was made in, so the agent enters, makes its sockets, reads what is
read synchronously, and leaves again; all waiting happens outside, in one event loop.
"""

import ctypes
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000


def _setns_by_libc(fd: int, kind: int) -> None:
    if _libc.setns(fd, kind) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


_libc = ctypes.CDLL(None, use_errno=True)
# os.setns exists since Python 3.12.
setns: Callable[[int, int], None] = getattr(os, "setns", _setns_by_libc)


class Home:
    """The namespace that the agent was started in: the node's root namespace."""

    def __init__(self) -> None:
        self._fd = open_netns("/proc/thread-self/ns/net")
        self.inode = os.fstat(self._fd).st_ino

    @property
    def fd(self) -> int:
        """A descriptor of it."""
        return self._fd

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._fd)

    @contextmanager
    def visiting(self, netns_fd: int) -> Generator[None]:
        """The calling thread is in that namespace inside the block. Never await in it. OSError when refused."""
        if netns_fd == self._fd:
            yield
            return
        setns(netns_fd, CLONE_NEWNET)
        try:
            yield
        finally:
            setns(self._fd, CLONE_NEWNET)


def open_netns(path: str) -> int:
    """A descriptor of a namespace file, which also keeps the namespace alive until it is closed."""
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
