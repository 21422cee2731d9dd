"""Alerts of incidents: counts are exact, whatever is repeated."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.aio.each import each
from bot.domain.alert import AlertStatus
from bot.store import Store
from bot.store.alerts import AlertPut, Alerts, IncidentAlert

WEB = IncidentAlert(
    fingerprint="1", name="KubePodNotReady", severity="warning", status="firing", since=10.0, first_at=10.0
)


def ended(alert: IncidentAlert, at: float) -> IncidentAlert:
    return replace(alert, status="resolved", since=at, first_at=at)


async def test_an_alert_comes_and_goes(store: Store) -> None:
    alerts = store.alerts
    assert await alerts.put("lab", "inc-1", WEB) == AlertPut(is_new=True, is_changed=True, is_new_kind=True, firing=1)
    again = replace(WEB, since=20.0, first_at=20.0)
    assert await alerts.put("lab", "inc-1", again) == AlertPut(
        is_new=False, is_changed=False, is_new_kind=False, firing=1
    )
    assert (await alerts.put("lab", "inc-1", ended(WEB, 30.0))).firing == 0
    assert (await alerts.put("lab", "inc-1", replace(WEB, since=40.0))).is_changed

    (found,) = (await alerts.of("inc-1")).alerts
    assert (found.since, found.first_at, found.times, found.status) == (40.0, 10.0, 2, "firing")
    assert await alerts.incident_of("lab", "1") == "inc-1"
    assert await alerts.incident_of("other", "1") is None


async def test_names_and_severities_are_new_once(store: Store) -> None:
    kinds = [
        (await store.alerts.put("lab", "inc-1", replace(WEB, fingerprint=str(number), name=name, severity=severity)))
        for number, (name, severity) in enumerate(
            [("A", "warning"), ("A", "warning"), ("A", "critical"), ("B", "warning")]
        )
    ]

    assert [kind.is_new_kind for kind in kinds] == [True, False, True, True]


async def test_two_hundred_at_once(store: Store) -> None:
    async def put(number: int) -> AlertPut:
        return await store.alerts.put("lab", "inc-1", replace(WEB, fingerprint=str(number // 2)))

    puts = await each(range(400), put)

    assert sum(one.is_new for one in puts) == 200
    assert sum(one.is_new_kind for one in puts) == 1
    assert await store.alerts.firing("inc-1") == 200


async def test_what_goes_beyond_the_bound_is_counted(store: Store) -> None:
    alerts = Alerts(store.connection, most=2)
    for number in range(5):
        await alerts.put("lab", "inc-1", replace(WEB, fingerprint=str(number)))

    found = await alerts.of("inc-1")
    assert (len(found.alerts), found.beyond, await alerts.firing("inc-1")) == (2, 3, 2)


@dataclass
class Model:
    """What is true after each step."""

    status: dict[str, AlertStatus]
    times: dict[str, int]


@pytest.mark.parametrize("repeats", [1, 2], ids=["once", "each twice"])
async def test_counts_are_those_of_the_alerts(store: Store, repeats: int) -> None:
    """Each step may be done again, by whoever takes over from a killed process."""
    import asyncio  # noqa: PLC0415

    loop = asyncio.get_running_loop()
    incidents = iter(range(10_000))

    @given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["firing", "resolved"]))))
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    def play(steps: list[tuple[str, AlertStatus]]) -> None:
        async def once() -> None:
            incident = f"inc-{repeats}-{next(incidents)}"
            model = Model({}, {})
            for at, (fingerprint, status) in enumerate(steps):
                was = model.status.get(fingerprint)
                model.times[fingerprint] = model.times.get(fingerprint, 1) + (was == "resolved" and status == "firing")
                model.status[fingerprint] = status
                for _ in range(repeats):
                    step = replace(WEB, fingerprint=fingerprint, status=status, since=float(at), first_at=float(at))
                    await store.alerts.put("lab", incident, step)
            found = (await store.alerts.of(incident)).alerts
            assert {one.fingerprint: one.status for one in found} == model.status
            assert {one.fingerprint: one.times for one in found} == model.times
            fires = sum(status == "firing" for status in model.status.values())
            assert await store.alerts.firing(incident) == fires

        asyncio.run_coroutine_threadsafe(once(), loop).result(30)

    await asyncio.to_thread(play)
