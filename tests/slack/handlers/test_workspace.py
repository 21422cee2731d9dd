"""Changes of the workspace, and faults of our own."""

from __future__ import annotations

from bot.domain.incident import Watch
from bot.store import Entry
from tests.slack.handlers.conftest import HERE, Office


async def test_a_channel_shared_while_a_diagnosis_runs_gets_no_verdict(office: Office) -> None:
    office.gate.shut()
    await office.alice.slash(HERE, "/cni", "diagnose shop")
    (root,) = await office.ws.until(office.roots)
    office.ws.admin.share("incidents")
    await office.heard("channel_shared")
    office.gate.open()

    assert (await office.said("now shared with another organisation")).ts == root.ts
    await office.quiet()
    assert "Proxy ARP" not in "".join(one.text for one in office.ws.everything(HERE))


async def test_watches_move_with_a_channel_that_gets_another_id(office: Office) -> None:
    await office.store.watches.add(Watch(cluster="lab", namespace="shop", channel="C0OLD", by="U0ALICE", since=1))
    event = {"type": "channel_id_changed", "old_channel_id": "C0OLD", "new_channel_id": HERE}
    await office.store.inbox.accept("Ev1", "event", {"event": event})

    await office.quiet()
    assert [watch.channel for watch in await office.store.watches.all()] == [HERE]


async def test_a_fault_of_our_own_is_owned_up_to(office: Office) -> None:
    """Also in the thread, which would else be diagnosing for ever."""
    office.gate.shut()
    await office.alice.slash(HERE, "/cni", "diagnose shop")
    (root,) = await office.ws.until(office.roots)
    entry_id = office.taken[-1].id
    body = {"command": "/cni", "user_id": "U0ALICE", "channel_id": HERE, "text": "diagnose shop"}

    await office.router.on_dead(Entry(id=entry_id, kind="command", body=body, received_at=0, attempt=4), "a bug")

    await office.whispered("alice", f"`{entry_id}`")
    await office.said("internal error", root.ts)
    (incident,) = await office.store.incidents.open_ones()
    assert incident.status == "failed"


async def test_an_entry_that_nobody_waits_for_is_given_up_quietly(office: Office) -> None:
    body = {"event": {"type": "message", "user": "U0ALICE", "channel": HERE}}

    await office.router.on_dead(Entry(id="7-7", kind="event", body=body, received_at=0, attempt=4), "a bug")

    await office.quiet()
    assert office.alice.whispers() == []
