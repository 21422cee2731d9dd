"""Libraries' warnings are events like ours; what they tell below that, people's messages among it, is not asked for."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
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


@pytest.fixture
def paced() -> Iterator[tuple[list[float], list[Any]]]:
    """The clock, and what comes through."""
    now = [0.0]
    through: list[Any] = []

    def kept(_: object, __: str, event: Any) -> Any:
        through.append(event)
        raise structlog.DropEvent

    structlog.configure(processors=[logs._Paced(clock=lambda: now[0]), kept])  # pyright: ignore[reportPrivateUsage]
    yield now, through
    structlog.reset_defaults()


def test_what_goes_wrong_for_ever_is_said_so_often_and_counted(paced: tuple[list[float], list[Any]]) -> None:
    """A store that is a read-only replica for a day would be 864,000 lines."""
    now, said = paced
    log = structlog.get_logger()
    for number in range(1000):
        log.warning("inbox.waits", why=number)
        log.info("diagnosis.finished", number=number)
    log.error("inbox.given_up")
    now[0] = logs.PERIOD_S
    log.warning("inbox.waits", why="again")
    log.warning("inbox.waits", why="and again")

    waits = [each for each in said if each["event"] == "inbox.waits"]
    assert [each["why"] for each in waits] == [*range(logs.MOST_OF_OURS), "again", "and again"]
    assert [each.get("left_out") for each in waits[-2:]] == [1000 - logs.MOST_OF_OURS, None]
    assert sum(each["event"] == "diagnosis.finished" for each in said) == 1000
    assert sum(each["event"] == "inbox.given_up" for each in said) == 1


def test_the_bots_log_is_paced(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(logging.root, "handlers", [])
    logs.configure()
    try:
        for _ in range(2 * logs.MOST_OF_OURS):
            structlog.get_logger().warning("inbox.waits")
    finally:
        structlog.reset_defaults()

    assert capsys.readouterr().err.count("inbox.waits") == logs.MOST_OF_OURS
