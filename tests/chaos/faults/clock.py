"""Steps of the clock, as after a wrong time server or a virtual machine's pause."""

from __future__ import annotations

from functools import partial

from tests.chaos.faults.fault import Fault, Inject, switched

MINUTE_S, HOUR_S = 60.0, 3600.0


def _step(seconds: float, *, and_back: bool) -> Inject:
    """Where it does not step back, the true time counts from now on as wrong."""
    return switched(
        lambda system, _: system.clock.step(seconds), lambda system: system.clock.step(0.0) if and_back else None
    )


_fault = partial(Fault, family="clock")

FAULTS = (
    _fault(name="two minutes back", inject=_step(-2 * MINUTE_S, and_back=False)),
    _fault(name="an hour back", inject=_step(-HOUR_S, and_back=False)),
    _fault(name="an hour ahead", inject=_step(HOUR_S, and_back=False)),
    _fault(name="twelve hours ahead and back again", inject=_step(12 * HOUR_S, and_back=True)),
)
