"""A bot that runs notices when the store goes away, or Slack no longer takes its token."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from bot.app.wiring import Bot, open_bot
from bot.domain.outgoing import Content, Place, Post
from bot.incidents.clusters import Clusters
from bot.lab.slack.workspace import SlackWorkspace
from bot.slack.gauges import Gauges
from bot.store.noted_issues import NotedIssues
from tests.app.test_serving import StubbornCluster, settings_for
from tests.redis import RedisServer
from tests.slack.waiting import until


def redis_at(url: str) -> Redis:
    return Redis.from_url(url)  # pyright: ignore[reportUnknownMemberType] untyped arguments


@asynccontextmanager
async def measured(
    state_dir: Path, cluster: StubbornCluster | None = None, **more: Any
) -> AsyncGenerator[tuple[SlackWorkspace, Bot, Gauges]]:
    """A bot that does nothing but measure itself."""
    async with SlackWorkspace.start() as slack, AsyncExitStack() as stack:
        bot = await open_bot(settings_for(slack, state_dir, **more), stack, Clusters([cluster or StubbornCluster()]))
        gauges = Gauges(bot.services, every_s=0.01, ask_every_s=0.01, reach_every_s=0.01)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(gauges.run())
            await until(lambda: not gauges.store_trouble)
            yield slack, bot, gauges
            running.cancel()


async def test_a_token_that_was_revoked(tmp_path: Path) -> None:
    async with measured(tmp_path) as (slack, _, gauges):
        slack.faults.bad_auth = True
        await until(lambda: gauges.token_trouble)
        reported = gauges.token_trouble
        slack.faults.bad_auth = False
        await until(lambda: not gauges.token_trouble)

    assert reported == "Slack says invalid_auth: install the app again and set the new token"


async def test_slack_being_away_says_nothing_about_the_token(tmp_path: Path) -> None:
    async with measured(tmp_path) as (slack, _, gauges):
        asked = len(slack.calls)
        await until(lambda: len(slack.calls) > asked + 1)
        slack.faults.down()
        await asyncio.sleep(0.1)
        slack.faults.down(is_down=False)
        asked = len(slack.calls)
        await until(lambda: len(slack.calls) > asked)

        assert gauges.token_trouble == ""


async def test_known_issues_of_clusters_versions_are_shown_while_they_are(tmp_path: Path) -> None:
    def shown(issue: str) -> float | None:
        labels = {"cluster": "lab", "issue": issue}
        return REGISTRY.get_sample_value("cnibot_known_issue_versions", labels)

    async with measured(tmp_path) as (_, bot, _measuring):
        notes = bot.services.store.noted_issues
        await notes.put("lab", NotedIssues(found=("calico-11099", "calico-8025", "nobody-knows-1")))
        await notes.put("former", NotedIssues(found=("calico-11099",)))
        await until(lambda: shown("calico-11099") == 1.0)
        assert shown("nobody-knows-1") is None
        assert (
            REGISTRY.get_sample_value("cnibot_known_issue_versions", {"cluster": "former", "issue": "calico-11099"})
            is None
        )
        await notes.put("lab", NotedIssues(found=("calico-8025",)))
        await until(lambda: shown("calico-11099") is None)
        assert shown("calico-8025") == 1.0


def last_contact(peer: str, cluster: str = "") -> float:
    labels = {"peer": peer, "cluster": cluster}
    return REGISTRY.get_sample_value("cnibot_last_contact_timestamp_seconds", labels) or 0.0


async def test_when_each_peer_last_answered_is_shown(tmp_path: Path) -> None:
    """A dead-man's switch: whoever is cut off cannot say so in Slack."""
    with RedisServer() as server:
        cluster = StubbornCluster(name="contact", is_cut_off=True)
        async with measured(tmp_path, cluster, redis_url=server.url) as (slack, _, _measuring):
            began_at = time.time()
            await until(lambda: last_contact("store") > began_at and last_contact("slack") > began_at)
            assert last_contact("cluster", "contact") == 0.0, "it has never answered"
            cluster.is_cut_off = False
            await until(lambda: last_contact("cluster", "contact") > began_at)

            async def a_while() -> None:
                """The cluster was reached again."""
                now = time.time()
                await until(lambda: last_contact("cluster", "contact") > now)

            for peer, cut_off in (("slack", slack.faults.down), ("store", server.pause)):
                cut_off()
                await a_while()  # what was under way may still end well
                await a_while()
                since = last_contact(peer)
                await a_while()
                assert last_contact(peer) == since
            server.resume()


async def test_what_waits_is_counted(tmp_path: Path) -> None:
    async with measured(tmp_path) as (_, bot, _measuring):
        await bot.services.outbox.put(Post(key="k", place=Place(channel="C1"), content=Content(text="x")))
        await bot.services.store.inbox.accept("event:1", "event", {"event": {"type": "app_mention"}})
        await until(lambda: REGISTRY.get_sample_value("cnibot_outbox_items", {"state": "waiting"}) == 1)
        await until(lambda: REGISTRY.get_sample_value("cnibot_inbox_entries", {"state": "waiting"}) == 1)


async def test_all_that_the_outbox_counts_is_shown(tmp_path: Path) -> None:
    async with measured(tmp_path) as (_, bot, _measuring):
        counters = bot.services.outbox.counters
        for number, each in enumerate(fields(counters), 1):
            setattr(counters, each.name, number)
        wanted = asdict(bot.services.outbox.counters)

        def shown() -> dict[str, float | None]:
            return {what: REGISTRY.get_sample_value("cnibot_outbox_done", {"what": what}) for what in wanted}

        await until(lambda: shown() == wanted)
        assert wanted["dead"]


@pytest.mark.parametrize(
    ("spoil", "cure", "why"),
    [
        (("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "a replica and takes no writes"),
        (("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "no memory left"),
    ],
    ids=["read-only", "out of memory"],
)
async def test_a_store_that_answers_and_takes_no_writes(
    spoil: tuple[str, ...], cure: tuple[str, ...], why: str, tmp_path: Path
) -> None:
    """It answers PING all the while, and every command of people got an error."""
    with RedisServer() as server:
        async with measured(tmp_path, redis_url=server.url) as (_, bot, gauges), redis_at(server.url) as admin:
            await admin.execute_command(*spoil)  # pyright: ignore[reportUnknownMemberType] untyped arguments
            await until(lambda: gauges.store_trouble)
            reported = gauges.store_trouble
            await bot.services.store.ping()
            await admin.execute_command(*cure)  # pyright: ignore[reportUnknownMemberType]
            await until(lambda: not gauges.store_trouble)

    assert why in reported


async def test_a_store_whose_password_has_changed(tmp_path: Path) -> None:
    with RedisServer(password="old") as server:
        url = f"unix://:old@{server.socket}"
        async with measured(tmp_path, redis_url=url) as (_, _bot, gauges), redis_at(url) as admin:
            await admin.execute_command("CONFIG", "SET", "requirepass", "new")  # pyright: ignore[reportUnknownMemberType]
            await admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")  # pyright: ignore[reportUnknownMemberType]
            await until(lambda: gauges.store_trouble)
            reported = gauges.store_trouble

    assert "does not accept the user name or the password" in reported
    assert "old" not in reported
