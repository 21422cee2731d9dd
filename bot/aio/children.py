"""Programs that we start."""

import os
import sys
from collections.abc import Sequence
from signal import Signals

_OURS = "CNIBOT_"

# The kernel signals the program when the thread that started it has ended, also after kill -9 (PR_SET_PDEATHSIG is 1).
_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[1]))
if os.getppid() != int(sys.argv[2]): sys.exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""


def child_environment() -> dict[str, str]:
    """Our environment without cnibot's own settings: tokens and the store's password are nobody else's business."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}


def ending_with_us(program: str, arguments: Sequence[str], by: Signals) -> list[str]:
    """The command that runs the program (its path, not a name) and ends it with us, however we end."""
    return [sys.executable, "-I", "-S", "-c", _WITH_PARENT, str(int(by)), str(os.getpid()), program, *arguments]
