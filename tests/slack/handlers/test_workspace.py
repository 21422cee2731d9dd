"""Changes of the workspace, and faults of our own."""

from __future__ import annotations

from bot.domain.incident import Watch
from bot.store import Entry
from tests.slack.handlers.conftest import HERE, Rig


async def test_a_channel_shared_while_a_diagnosis_runs_gets_no_verdict(rig: Rig) -> None:
    rig.gate.shut()
    await rig.alice.slash(HERE, "/cni", "diagnose shop")
    (root,) = await rig.ws.until(rig.roots)
    rig.ws.admin.share("incidents")
    await rig.heard("channel_shared")
    rig.gate.open()

    assert (await rig.said("now shared with another organisation")).ts == root.ts
    await rig.quiet()
    assert "Proxy ARP" not in "".join(one.text for one in rig.ws.everything(HERE))


async def test_watches_move_with_a_channel_that_gets_another_id(rig: Rig) -> None:
    await rig.store.watches.add(Watch(cluster="lab", namespace="shop", channel="C0OLD", by="U0ALICE", since=1))
    event = {"type": "channel_id_changed", "old_channel_id": "C0OLD", "new_channel_id": HERE}
    await rig.store.inbox.accept("Ev1", "event", {"event": event})

    await rig.quiet()
    assert [watch.channel for watch in await rig.store.watches.all()] == [HERE]


async def test_a_fault_of_our_own_is_owned_up_to(rig: Rig) -> None:
    """Also in the thread, which would else be diagnosing for ever."""
    rig.gate.shut()
    await rig.alice.slash(HERE, "/cni", "diagnose shop")
    (root,) = await rig.ws.until(rig.roots)
    entry_id = rig.taken[-1].id
    body = {"command": "/cni", "user_id": "U0ALICE", "channel_id": HERE, "text": "diagnose shop"}

    await rig.router.on_dead(Entry(id=entry_id, kind="command", body=body, received_at=0, attempt=4), "a bug")

    await rig.shown_only_to("alice", f"`{entry_id}`")
    await rig.said("internal error", root.ts)
    (incident,) = await rig.store.incidents.open_ones()
    assert incident.status == "failed"


async def test_an_entry_that_nobody_waits_for_is_given_up_quietly(rig: Rig) -> None:
    body = {"event": {"type": "message", "user": "U0ALICE", "channel": HERE}}

    await rig.router.on_dead(Entry(id="7-7", kind="event", body=body, received_at=0, attempt=4), "a bug")

    await rig.quiet()
    assert rig.alice.ephemerals() == []
