"""How long to wait after a failure, also after a 429: the entry is kept meanwhile, and sent again."""

import random

from bot.slack.outbox.failures import Failure, Trouble
from bot.slack.outbox.timing import Timing


def pause_s(failures: int) -> float:
    """How long to leave an item alone that failed so often for a reason of its own."""
    return float(min(2**failures, 60)) if failures else 0.0


class Backoff:
    """How long a channel rests after failures that may concern all its messages; less up to half of it by chance."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._failures = 0

    def succeeded(self) -> None:
        """Slack answers."""
        self._failures = 0

    def rest_s(self, failure: Failure) -> float:
        """How long to leave the channel alone after this failure."""
        match failure.trouble:
            case Trouble.RATE_LIMITED:
                return failure.retry_after_s
            case Trouble.UNREACHED | Trouble.LOST | Trouble.NOT_AUTHORIZED:
                rest_s = min(self._timing.first_backoff_s * 2**self._failures, self._timing.longest_backoff_s)
                self._failures = min(self._failures + 1, 16)
                return rest_s * random.uniform(0.5, 1)
            case _:
                return 0.0
