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
