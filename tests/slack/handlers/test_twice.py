"""A process may die between two words: what it had begun is ended by the next, and nothing is said twice."""

from __future__ import annotations

import asyncio
import dataclasses

from tests.slack.handlers.conftest import HERE, Opened, Rig, work


async def test_whatever_is_handled_twice_happens_once(rig: Rig) -> None:
    ts, verdict = await rig.diagnosed()
    await rig.pick("alice", verdict, "cni_share")
    await rig.said("Shared by")
    await rig.alice.slash(HERE, "/cni", "watch payments")
    await rig.said("watches")
    await rig.alice.slash(HERE, "/cni", "help")
    await rig.alice.say(HERE, f"{rig.ws.mention} diagnose payments", thread=ts)
    await rig.said("HEALTHY", ts)
    await rig.quiet()
    before = [(one.ts, one.text) for one in rig.ws.everything(HERE)]
    ephemerals = len(rig.alice.ephemerals())

    for entry in [*rig.handled, *rig.handled]:
        await rig.router.handle(dataclasses.replace(entry, attempt=entry.attempt + 1))
    await rig.quiet()

    assert [(one.ts, one.text) for one in rig.ws.everything(HERE)] == before
    assert len(rig.alice.ephemerals()) == ephemerals


async def test_a_run_that_was_cut_short_is_ended_by_the_next_process(open_rig: Opened) -> None:
    rig = await open_rig(at_work=False)
    rig.gate.shut()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(work(rig))
        await rig.alice.slash(HERE, "/cni", "diagnose shop")
        (root,) = await rig.ws.until(rig.roots)
        first.cancel()
    rig.gate.open()

    async with asyncio.TaskGroup() as group:
        second = group.create_task(work(rig))
        await rig.verdict(root.ts)
        await rig.quiet()
        second.cancel()

    assert len(rig.roots()) == 1
    assert len([one for one in rig.ws.thread(HERE, root.ts) if "cni_details" in one.action_ids]) == 1
    (incident,) = await rig.store.incidents.open_ones()
    assert (incident.run, incident.status) == (1, "broken")


async def test_a_second_askers_run_that_was_cut_short_is_ended_too(open_rig: Opened) -> None:
    """Its own unfinished run must not be taken for somebody else's."""
    rig = await open_rig(at_work=False)
    async with asyncio.TaskGroup() as group:
        first = group.create_task(work(rig))
        ts, _ = await rig.diagnosed()
        await rig.quiet()
        rig.gate.shut()
        await rig.ws.user("bob").slash(HERE, "/cni", "diagnose shop")
        await rig.said("Run 2", ts)
        first.cancel()
    rig.gate.open()

    async with asyncio.TaskGroup() as group:
        second = group.create_task(work(rig))
        await rig.verdict(ts, count=2)
        await rig.quiet()
        second.cancel()

    (incident,) = await rig.store.incidents.open_ones()
    assert (incident.run, incident.status) == (2, "broken")
