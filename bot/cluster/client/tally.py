"""How many requests this process sent to API servers, until somebody takes the numbers away to publish them.

The worker's go to the bot, which has the metrics.
"""

from collections import Counter
from collections.abc import Iterable

_requests: Counter[tuple[str, str]] = Counter()


def count(method: str, outcome: str, number: int = 1) -> None:
    """So many requests of this method ("GET", "WEBSOCKET") ended so: "2xx", "refused"."""
    _requests[method, outcome] += number


def taken() -> Iterable[tuple[str, str, int]]:
    """Method, outcome and number of what was counted since the last time."""
    found = tuple((method, outcome, number) for (method, outcome), number in _requests.items())
    _requests.clear()
    return found
