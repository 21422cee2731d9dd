"""What notifications left out is taken in, once, and ends when nobody lists it any more."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime as dt
from pathlib import Path

from bot.alerts.slack_message import AlertMessage
from bot.domain.alert import AlertStatus
from bot.incidents.alerting.alertmanager_api import AlertmanagerApi
from bot.incidents.alerting.intake import Accepted, AlertIntake, AlertReceived, received
from bot.incidents.alerting.reconciling import GONE_S, YOUNG_S, Reconciler
from bot.incidents.clusters import Clusters
from bot.store import Entry, Store
from bot.store.anchors import Anchor
from tests.incidents.alerting.listing import STARTED, Peer, api, listed, peer
from tests.recorded_cluster import RecordedCluster
from tests.stories import alertmanager
from tests.stories.alertmanager import needs_alertmanager
from tests.web.test_alertmanager import TOKEN, served

BEGAN = dt.datetime.fromisoformat(STARTED).timestamp()
NOW = BEGAN + YOUNG_S
ANCHOR = Anchor(channel="C0ALERTS", ts="1.2", labels={})


def reconciler(store: Store, *apis: AlertmanagerApi) -> Reconciler:
    clusters = Clusters([RecordedCluster(name="lab", recordings={})])
    return Reconciler(alertmanagers=apis, intake=AlertIntake(store.inbox, clusters), seen=store.seen_alerts)


async def taken(store: Store, count: int) -> list[AlertReceived]:
    """The alerts that the inbox hands out."""
    found: list[AlertReceived] = []
    enough = asyncio.Event()

    async def take(entry: Entry) -> None:
        found.append(received(entry))
        if len(found) >= count:
            enough.set()

    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        working = group.create_task(store.inbox.work(take))
        await enough.wait()
        working.cancel()
    return sorted(found, key=lambda one: (one.alert.status, one.alert.name))


async def test_what_only_the_poll_saw_is_taken_in_once(store: Store) -> None:
    async with peer(listed("A", namespace="shop"), listed("B")) as one:
        poll = reconciler(store, api(one))
        assert await poll.poll("am", now=NOW) == Accepted(new=2, known=0)
        assert await poll.poll("am", now=NOW + 60) == Accepted(new=0, known=2)

    first, _ = await taken(store, 2)
    assert (first.alert.name, first.cluster) == ("A", "lab")
    assert first.alert.labels["namespace"] == "shop"


async def test_a_young_alert_is_left_to_its_notification_and_a_silenced_one_to_its_silence(store: Store) -> None:
    async with peer(listed("A")) as one, peer(listed("B", "suppressed")) as other:
        assert await reconciler(store, api(one)).poll("am", now=BEGAN + YOUNG_S - 1) == Accepted(new=0, known=0)
        assert await reconciler(store, api(other)).poll("am", now=NOW) == Accepted(new=0, known=0)


async def test_what_nobody_lists_any_more_has_ended(store: Store) -> None:
    async with peer(listed("A"), listed("B")) as one:
        poll = reconciler(store, api(one))
        await poll.poll("am", now=NOW)
        del one.alerts[0]
        assert (await poll.poll("am", now=NOW + GONE_S - 1)).new == 0, "it may just have been started"
        assert (await poll.poll("am", now=NOW + GONE_S)).new == 1
        assert (await poll.poll("am", now=NOW + 2 * GONE_S)).new == 0

    *_, ended = await taken(store, 3)
    assert (ended.alert.name, ended.alert.status, ended.alert.starts_at) == ("A", "resolved", STARTED)


async def test_nothing_ends_by_silence_or_while_one_of_a_pair_is_away(store: Store) -> None:
    async with peer(listed("A"), listed("B")) as one, peer(listed("A"), listed("B")) as other:
        poll = reconciler(store, api(one, other))
        await poll.poll("am", now=NOW)
        one.alerts[:] = [listed("A", "suppressed")]
        other.alerts[:] = []
        other.status = 503
        assert (await poll.poll("am", now=NOW + GONE_S)).new == 0
        other.status = 200
        found = await poll.poll("am", now=NOW + GONE_S + 1)

    assert found == Accepted(new=1, known=0), "B alone"


async def test_an_alertmanager_that_was_taken_out_of_the_settings_is_not_asked(store: Store) -> None:
    assert await reconciler(store).poll("am", now=NOW) == Accepted(new=0, known=0)


SAID = AlertMessage(status="firing", tokens=("KubePodNotReady", "shop", "warning"), group=("shop",))


def ready(pod: str) -> dict[str, object]:
    return listed("KubePodNotReady", namespace="shop", pod=pod, severity="warning")


async def look_up(store: Store, one: Peer, status: AlertStatus = "firing") -> list[str] | None:
    """The pods of the alerts that the message is about."""
    said = dataclasses.replace(SAID, status=status)
    found = await reconciler(store, api(one)).look_up(said, cluster="lab", anchor=ANCHOR, now=NOW)
    return None if found is None else [each.labels["pod"] for each in found]


async def test_a_message_is_each_of_its_alerts(store: Store) -> None:
    async with peer(ready("a"), ready("b"), listed("Other", namespace="shop")) as one:
        assert await look_up(store, one) == ["a", "b"]

    found = await taken(store, 2)
    assert sorted(each.alert.labels["pod"] for each in found) == ["a", "b"]
    assert [each.anchor for each in found] == [ANCHOR, ANCHOR]


async def test_the_end_of_a_message_ends_what_is_listed_no_longer(store: Store) -> None:
    async with peer(ready("a"), ready("b")) as one:
        await look_up(store, one)
        del one.alerts[0]
        await look_up(store, one)  # edited: [FIRING:1]
        del one.alerts[0]
        assert await look_up(store, one, "resolved") == []

    found = await taken(store, 4)
    assert [each.alert.status for each in found] == ["firing", "firing", "resolved", "resolved"]


async def test_a_message_that_nothing_is_known_of_speaks_for_itself(store: Store) -> None:
    async with peer(listed("Other")) as one:
        assert await look_up(store, one) is None
        one.status = 500
        assert await look_up(store, one) is None


@needs_alertmanager
async def test_what_the_real_one_posts_and_what_it_lists_are_one(store: Store, tmp_path: Path) -> None:
    async with served(store) as address:
        hook = {"url": f"{address}/alertmanager", "http_config": {"authorization": {"credentials": TOKEN}}}
        async with alertmanager.running(tmp_path / "am", {"webhook_configs": [hook]}, ["alertname"]) as manager:
            await manager.fire("KubePodNotReady", namespace="shop", pod="a")
            await taken(store, 1)
            poll = reconciler(store, AlertmanagerApi(name="am", urls=(manager.url,), receiver="cnibot"))
            later = dt.datetime.now(dt.UTC).timestamp() + YOUNG_S

            assert await poll.poll("am", now=later) == Accepted(new=0, known=1)
