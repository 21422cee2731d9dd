"""The channel's message of an incident, and one fault in several threads."""

from __future__ import annotations

import random
import re

import pytest

from tests.slack.handlers.conftest import HERE, Office, broken, healthy

FACT = "shop/a: proxy ARP is off, 1 pod has no gateway"
WORDS = {"broken": f"🔴 *BROKEN* {FACT}", "healthy": "⚫ *CLOSED*", "failed": "⚪ *NO DIAGNOSIS*"}


@pytest.mark.parametrize("seed", range(6))
async def test_after_any_sequence_of_runs_the_root_shows_the_newest_status(seed: int, office: Office) -> None:
    """Whatever came before, whoever asked, and also where the same incident was closed in between."""
    chance = random.Random(seed)
    ts, verdict = await office.diagnosed()
    for _ in range(5):
        now = chance.choice(list(WORDS))
        office.recordings["shop"] = healthy() if now == "healthy" else broken()
        (office.unreachable.add if now == "failed" else office.unreachable.discard)("lab")
        handled = len(office.handled)
        await office.ws.user(chance.choice(("alice", "bob"))).click(HERE, verdict.ts, "cni_rerun")
        await office.ws.until(lambda handled=handled: len(office.handled) > handled)
        await office.quiet()

        root = office.ws.thread(HERE, ts)[0]
        assert WORDS[now] in root.text
        assert [one.ts for one in office.roots()] == [ts]

    shown = untimed(office.ws.thread(HERE, ts)[0].text)
    for entry in office.handled:  # a process that died, and did it all again, changes nothing
        await office.router.handle(entry)
    await office.quiet()
    assert untimed(office.ws.thread(HERE, ts)[0].text) == shown


def untimed(text: str) -> str:
    return re.sub(r"<!date[^>]*>|after \d+ s", "then", text)


async def test_a_healed_incident_says_what_it_was_and_for_whom_it_was_checked(office: Office) -> None:
    ts, verdict = await office.diagnosed()
    await office.quiet()
    assert office.roots()[0].text.startswith(WORDS["broken"])
    assert "`shop` · run 1, 2 s, for <@U0ALICE>" in office.roots()[0].text

    office.recordings["shop"] = healthy()
    await office.ws.user("bob").click(HERE, verdict.ts, "cni_rerun")
    await office.verdict(ts, count=2)
    await office.quiet()

    closed = office.roots()[0].text
    assert re.search(r"⚫ \*CLOSED\* after \d+ s\. Was: " + re.escape(FACT), closed)
    assert "run 2, 2 s, for <@U0BOB>" in closed
    assert ": healthy" in closed


async def test_one_fault_in_two_namespaces_is_one_incident_with_links_both_ways(office: Office) -> None:
    first, _ = await office.diagnosed()
    await office.quiet()
    office.recordings["payments"] = broken()

    await office.alice.slash(HERE, "/cni", "diagnose payments")
    (_, second) = await office.ws.until(lambda: office.roots() if len(office.roots()) == 2 else [])
    card = await office.verdict(second.ts)
    await office.quiet()

    assert f"Same fault as* <{office.ws.permalink(HERE, first)}|" in card.text
    assert "sysctl" not in card.text
    assert office.ws.permalink(HERE, second.ts) in office.ws.thread(HERE, first)[-1].text
    assert [one for one in office.ws.thread(HERE, second.ts) if one.files] == []

    await office.alice.slash(HERE, "/cni", "incidents")
    listed = await office.whispered("alice", "Open incidents")
    assert listed.count(FACT) == 1
    assert "2 threads" in listed


async def test_no_sentence_stands_in_a_thread_twice(office: Office) -> None:
    ts, _ = await office.diagnosed()
    await office.quiet()

    said = [line.strip(" •*") for one in office.ws.thread(HERE, ts)[1:] for line in one.text.splitlines()]
    sentences = [line for line in said if len(line) > 20 and not line.startswith("```")]
    assert len(sentences) == len(set(sentences))
