"""Trying again: how often, how long, and not at all."""

import pytest

from bot.aio.retry import Backoff, retry


class BusyError(Exception):
    """Asks to come back."""

    def __init__(self, asked_s: float | None = None) -> None:
        super().__init__()
        self.asked_s = asked_s


class Work:
    """Fails so many times."""

    def __init__(self, failures: list[Exception]) -> None:
        self.failures = failures
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


def is_busy(error: Exception) -> bool:
    return isinstance(error, BusyError)


def asked_s(error: Exception) -> float | None:
    return error.asked_s if isinstance(error, BusyError) else None


QUICK = Backoff(attempts=3, first_s=0.001, max_s=0.01)


async def test_until_it_works():
    work = Work([BusyError(), BusyError()])

    assert await retry(work, is_transient=is_busy, backoff=QUICK) == "done"
    assert work.calls == 3


async def test_the_last_error_is_raised():
    last = BusyError()
    with pytest.raises(BusyError) as raised:
        await retry(Work([BusyError(), BusyError(), last]), is_transient=is_busy, backoff=QUICK)

    assert raised.value is last


async def test_other_errors_are_not_tried_again():
    work = Work([LookupError()])
    with pytest.raises(LookupError):
        await retry(work, is_transient=is_busy, backoff=QUICK)

    assert work.calls == 1


async def test_whoever_asks_for_too_much_patience_gets_none():
    work = Work([BusyError(60)])
    with pytest.raises(BusyError):
        await retry(work, is_transient=is_busy, asked_s=asked_s, backoff=QUICK)

    assert work.calls == 1


@pytest.mark.parametrize("attempt", range(5))
def test_waits_grow_within_bounds(attempt: int):
    backoff = Backoff(attempts=9, first_s=1, max_s=5)
    wait_s = backoff.wait_s(attempt, None)

    assert wait_s is not None
    assert min(2**attempt, 5) / 2 <= wait_s <= min(2**attempt, 5)


def test_what_was_asked_is_waited_at_least():
    wait_s = Backoff(attempts=9, first_s=0.1, max_s=5).wait_s(0, 3)

    assert wait_s is not None
    assert wait_s >= 3
