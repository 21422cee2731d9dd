"""A process may die between two words: what it had begun is ended by the next, and nothing is said twice."""

from __future__ import annotations

import asyncio
import dataclasses

from tests.slack.handlers.conftest import HERE, Office, Opened, work


async def test_whatever_is_handled_twice_happens_once(office: Office) -> None:
    ts, verdict = await office.diagnosed()
    await office.pick("alice", verdict, "cni_share")
    await office.said("Shared by")
    await office.alice.slash(HERE, "/cni", "watch payments")
    await office.said("watches")
    await office.alice.slash(HERE, "/cni", "help")
    await office.alice.say(HERE, f"{office.ws.mention} diagnose payments", thread=ts)
    await office.said("HEALTHY", ts)
    await office.quiet()
    before = [(one.ts, one.text) for one in office.ws.everything(HERE)]
    whispers = len(office.alice.whispers())

    for entry in [*office.handled, *office.handled]:
        await office.router.handle(dataclasses.replace(entry, attempt=entry.attempt + 1))
    await office.quiet()

    assert [(one.ts, one.text) for one in office.ws.everything(HERE)] == before
    assert len(office.alice.whispers()) == whispers


async def test_a_run_that_was_cut_short_is_ended_by_the_next_process(open_office: Opened) -> None:
    office = await open_office(at_work=False)
    office.gate.shut()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(work(office))
        await office.alice.slash(HERE, "/cni", "diagnose shop")
        (root,) = await office.ws.until(office.roots)
        first.cancel()
    office.gate.open()

    async with asyncio.TaskGroup() as group:
        second = group.create_task(work(office))
        await office.verdict(root.ts)
        await office.quiet()
        second.cancel()

    assert len(office.roots()) == 1
    assert len([one for one in office.ws.thread(HERE, root.ts) if "cni_details" in one.action_ids]) == 1
    (incident,) = await office.store.incidents.open_ones()
    assert (incident.run, incident.status) == (1, "broken")


async def test_a_second_askers_run_that_was_cut_short_is_ended_too(open_office: Opened) -> None:
    """Its own unfinished run must not be taken for somebody else's."""
    office = await open_office(at_work=False)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(work(office))
        ts, _ = await office.diagnosed()
        await office.quiet()
        office.gate.shut()
        await office.ws.user("bob").slash(HERE, "/cni", "diagnose shop")
        await office.said("Run 2", ts)
        first.cancel()
    office.gate.open()

    async with asyncio.TaskGroup() as group:
        second = group.create_task(work(office))
        await office.verdict(ts, count=2)
        await office.quiet()
        second.cancel()

    (incident,) = await office.store.incidents.open_ones()
    assert (incident.run, incident.status) == (2, "broken")
