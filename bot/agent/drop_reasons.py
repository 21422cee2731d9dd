"""Why the kernel drops packets just now, from the tracepoint skb:kfree_skb (reasons since Linux 5.17).

Only when asked for: it needs root of the whole machine and a trace instance of its own, which is removed again. The
event knows no namespace, so other traffic of the node is in the counts too.

Source: https://docs.kernel.org/trace/events.html, section "Instances" of https://docs.kernel.org/trace/ftrace.html
"""

import contextlib
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bot.agent.files import read_text
from bot.agent.report import DropReason

PLACES = ("sys/kernel/tracing", "sys/kernel/debug/tracing")
ONLY_IPV4_AND_ARP = "protocol==2048||protocol==2054"
BUFFER_KB = 64
"""For each processor."""
TRACE_BYTES = 4 << 20
REASONS_LIMIT = 50
EVENT = re.compile(r"location=(\S+?)(?:\+0x\S+)? reason: (\w+)")


class DropTrace:
    """The tracepoint, switched on inside the block. `reasons` afterwards. OSError where tracefs cannot be written."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._instance = _tracefs(roots) / "instances" / f"cnibot-{os.getpid()}"
        self._is_on = False
        self.reasons: tuple[DropReason, ...] = ()

    def start(self) -> None:
        """Switch on. Whatever goes wrong, nothing stays behind."""
        self._instance.mkdir()
        self._is_on = True
        try:
            self._write("buffer_size_kb", str(BUFFER_KB))
            self._write("events/skb/kfree_skb/filter", ONLY_IPV4_AND_ARP)
            self._write("events/skb/kfree_skb/enable", "1")
        except OSError:
            self._remove()
            raise

    def stop(self) -> None:
        """Switch off, count, remove. May be called again."""
        if not self._is_on:
            return
        try:
            self._write("events/skb/kfree_skb/enable", "0")
            self.reasons = count_reasons(read_text(str(self._instance / "trace"), TRACE_BYTES))
        finally:
            self._remove()

    def _write(self, name: str, text: str) -> None:
        # The files are there or the kernel is another: none is ever created.
        fd = os.open(self._instance / name, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode("ascii"))
        finally:
            os.close(fd)

    def _remove(self) -> None:
        self._is_on = False
        with contextlib.suppress(OSError):
            self._write("events/enable", "0")
        self._instance.rmdir()


def count_reasons(text: str) -> tuple[DropReason, ...]:
    """The lines of a trace, by reason and function, the most frequent first."""
    counts = Counter((match[2][:64], match[1][:64]) for match in EVENT.finditer(text))
    return tuple(
        DropReason(reason=reason, function=function, count=count)
        for (reason, function), count in counts.most_common(REASONS_LIMIT)
    )


def _tracefs(roots: Sequence[str]) -> Path:
    for root in roots:
        for place in PLACES:
            folder = Path(root) / place
            if (folder / "events/skb/kfree_skb").is_dir():
                return folder
    raise FileNotFoundError("tracefs is not to be seen, or this kernel has no event skb:kfree_skb")
