"""A clock that a scenario can step, and perhaps no matplotlib: found on PYTHONPATH by the bot and what it starts.

What hangs on the time of day asks `time.time`, which here adds what the file says. `datetime.now`, which stamps reports
and the expiry of node agents, is C's own and stays; so do the monotonic clocks, as when a machine's clock is stepped.
"""

import os
import sys
import time
from pathlib import Path

_FILE = Path(os.environ["CHAOS_CLOCK"])
_real = time.time


def _stepped() -> float:
    return _real() + float(_FILE.read_text(encoding="ascii"))


time.time = _stepped

if os.environ.get("CHAOS_WITHOUT_MATPLOTLIB"):
    sys.modules["matplotlib"] = None  # type: ignore[assignment] as where it is not installed
