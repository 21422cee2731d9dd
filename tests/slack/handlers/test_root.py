"""The channel's message of an incident, and one fault in several threads."""

from __future__ import annotations

import random
import re

import pytest

from tests.slack.handlers.conftest import HERE, Rig, broken, healthy

FACT = "shop/a: proxy ARP is off, 1 pod has no gateway"
WORDS = {"broken": f"🔴 *BROKEN* {FACT}", "healthy": "⚫ *CLOSED*", "failed": "⚪ *NO DIAGNOSIS*"}


@pytest.mark.parametrize("seed", range(6))
async def test_after_any_sequence_of_runs_the_root_shows_the_newest_status(seed: int, rig: Rig) -> None:
    """Whatever came before, whoever asked, and also where the same incident was closed in between."""
    chance = random.Random(seed)
    ts, verdict = await rig.diagnosed()
    for _ in range(5):
        now = chance.choice(list(WORDS))
        rig.recordings["shop"] = healthy() if now == "healthy" else broken()
        (rig.unreachable.add if now == "failed" else rig.unreachable.discard)("lab")
        handled = len(rig.handled)
        await rig.ws.user(chance.choice(("alice", "bob"))).click(HERE, verdict.ts, "cni_rerun")
        await rig.ws.until(lambda handled=handled: len(rig.handled) > handled)
        await rig.quiet()

        root = rig.ws.thread(HERE, ts)[0]
        assert WORDS[now] in root.text
        assert [one.ts for one in rig.roots()] == [ts]

    shown = untimed(rig.ws.thread(HERE, ts)[0].text)
    for entry in rig.handled:  # a process that died, and did it all again, changes nothing
        await rig.router.handle(entry)
    await rig.quiet()
    assert untimed(rig.ws.thread(HERE, ts)[0].text) == shown


def untimed(text: str) -> str:
    return re.sub(r"<!date[^>]*>|after \d+ s", "then", text)


async def test_a_healed_incident_says_what_it_was_and_for_whom_it_was_checked(rig: Rig) -> None:
    ts, verdict = await rig.diagnosed()
    await rig.quiet()
    assert rig.roots()[0].text.startswith(WORDS["broken"])
    assert "`shop` · run 1, 2 s, for <@U0ALICE>" in rig.roots()[0].text

    rig.recordings["shop"] = healthy()
    await rig.ws.user("bob").click(HERE, verdict.ts, "cni_rerun")
    await rig.verdict(ts, count=2)
    await rig.quiet()

    closed = rig.roots()[0].text
    assert re.search(r"⚫ \*CLOSED\* after \d+ s\. Was: " + re.escape(FACT), closed)
    assert "run 2, 2 s, for <@U0BOB>" in closed
    assert ": healthy" in closed


async def test_one_fault_in_two_namespaces_is_one_incident_with_links_both_ways(rig: Rig) -> None:
    first, _ = await rig.diagnosed()
    await rig.quiet()
    rig.recordings["payments"] = broken()

    await rig.alice.slash(HERE, "/cni", "diagnose payments")
    (_, second) = await rig.ws.until(lambda: rig.roots() if len(rig.roots()) == 2 else [])
    card = await rig.verdict(second.ts)
    await rig.quiet()

    assert f"Same fault as* <{rig.ws.permalink(HERE, first)}|" in card.text
    assert "sysctl" not in card.text
    assert rig.ws.permalink(HERE, second.ts) in rig.ws.thread(HERE, first)[-1].text
    assert [one for one in rig.ws.thread(HERE, second.ts) if one.files] == []

    await rig.alice.slash(HERE, "/cni", "incidents")
    listed = await rig.shown_only_to("alice", "Open incidents")
    assert listed.count(FACT) == 1
    assert "2 threads" in listed


async def test_no_sentence_stands_in_a_thread_twice(rig: Rig) -> None:
    ts, _ = await rig.diagnosed()
    await rig.quiet()

    said = [line.strip(" •*") for one in rig.ws.thread(HERE, ts)[1:] for line in one.text.splitlines()]
    sentences = [line for line in said if len(line) > 20 and not line.startswith("```")]
    assert len(sentences) == len(set(sentences))
