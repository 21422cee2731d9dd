"""Libraries' warnings are events like ours; what they tell below that, people's messages among it, is not asked for."""

import logging

import pytest
from structlog.testing import capture_logs

from bot import logs


def test_warnings_of_libraries_become_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    logs.configure("debug")
    logs.configure("debug")
    bolt = logging.getLogger("slack_bolt.AsyncApp")  # noqa: TID251 a library's own

    with capture_logs() as said:
        bolt.info("body: %s", "a secret of alice")
        bolt.warning("something is %s", "odd")

    assert said == [
        {
            "event": "library.said",
            "library": "slack_bolt.AsyncApp",
            "message": "something is odd",
            "exc_info": None,
            "log_level": "warning",
        }
    ]


def test_a_library_that_complains_for_ever_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever can make a library complain must not fill the disk."""
    now = [0.0]
    handler = logs._Libraries(clock=lambda: now[0])  # pyright: ignore[reportPrivateUsage]
    server, other = (logging.getLogger(name) for name in ("tests.loud", "tests.quiet"))  # noqa: TID251 a library's own
    for each in (server, other):
        monkeypatch.setattr(each, "handlers", [handler])
        monkeypatch.setattr(each, "propagate", False)

    with capture_logs() as said:
        for number in range(1000):
            server.warning("invalid request %s", number)
        other.warning("something else")
        now[0] = logs.PERIOD_S
        server.warning("invalid request again")

    lines = [each.get("message", f"{each['event']} {each.get('lines')}") for each in said]
    assert lines == [
        *(f"invalid request {number}" for number in range(logs.MOST_LINES)),
        "something else",
        f"library.silenced {1000 - logs.MOST_LINES}",
        "invalid request again",
    ]
