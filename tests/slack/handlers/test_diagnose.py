"""`diagnose`: from what a person types to the verdict in its thread."""

from __future__ import annotations

import pytest

from bot.domain.errors import ForbiddenError
from tests.slack.handlers.conftest import HERE, Opened, Rig, UnreliableCluster, healthy


async def test_a_command_leads_to_a_thread_with_a_verdict(rig: Rig) -> None:
    ts, verdict = await rig.diagnosed()
    await rig.quiet()

    root, *replies = rig.ws.thread(HERE, ts)
    assert "shop" in root.text
    assert "<@U0ALICE>" in root.text
    assert verdict in replies
    assert "BROKEN shop/a: proxy ARP is off, 1 pod has no gateway" in verdict.text
    assert verdict.action_ids == ["cni_propose_fix", "cni_details", "cni_rerun", "cni_more"]
    (file,) = await rig.ws.until(lambda: rig.ws.files(HERE))
    assert file.name.endswith(".md")
    (incident,) = await rig.store.incidents.open_ones()
    assert (incident.status, incident.cause, incident.run) == ("broken", "calico-proxy-arp-off", 1)


async def test_the_first_word_comes_before_the_diagnosis(rig: Rig) -> None:
    rig.gate.shut()
    await rig.alice.slash(HERE, "/cni", "diagnose shop")

    (root,) = await rig.ws.until(rig.roots)
    assert "Diagnosing" in root.text
    rig.gate.open()
    await rig.verdict(root.ts)
    assert (await rig.said("BROKEN")).ts == root.ts


async def test_a_healthy_namespace_leaves_no_incident_open(rig: Rig) -> None:
    _, verdict = await rig.diagnosed("diagnose payments")

    await rig.quiet()
    assert "HEALTHY" in verdict.text
    assert await rig.store.incidents.open_ones() == ()
    assert rig.ws.files(HERE) == []


async def test_a_mention_is_answered_in_the_thread_in_which_it_was_said(rig: Rig) -> None:
    ts = await rig.alice.say(HERE, "models time out")
    await rig.alice.say(HERE, f"{rig.ws.mention} Diagnose “Shop”", thread=ts)

    verdict = await rig.verdict(ts)
    assert verdict.thread_ts == ts
    assert rig.roots() == []


async def test_a_misspelt_namespace_gets_buttons_that_work(rig: Rig) -> None:
    await rig.alice.slash(HERE, "/cni", "diagnose shpo")
    await rig.shown_only_to("alice", "There is no namespace `shpo`")
    ephemeral = rig.alice.ephemerals(HERE)[-1]

    await rig.alice.click(HERE, ephemeral.ts, "cni_diagnose_namespace:0")

    (root,) = await rig.ws.until(rig.roots)
    assert "BROKEN" in (await rig.verdict(root.ts)).text


async def test_a_second_asker_is_led_to_the_running_diagnosis(rig: Rig) -> None:
    rig.gate.shut()
    await rig.alice.slash(HERE, "/cni", "diagnose shop")
    (root,) = await rig.ws.until(rig.roots)
    await rig.ws.user("bob").slash(HERE, "/cni", "diagnose shop")

    reported = await rig.shown_only_to("bob", "is already being diagnosed")
    assert rig.ws.permalink(HERE, root.ts) in reported
    rig.gate.open()
    await rig.verdict(root.ts)
    await rig.quiet()
    assert [each.ts for each in rig.roots()] == [root.ts]
    (incident,) = await rig.store.incidents.open_ones()
    assert incident.run == 1


async def test_asking_again_later_goes_on_in_the_same_thread(rig: Rig) -> None:
    ts, _ = await rig.diagnosed()
    await rig.quiet()
    rig.recordings["shop"] = healthy()
    await rig.ws.user("bob").slash(HERE, "/cni", "diagnose shop")

    assert rig.ws.permalink(HERE, ts) in await rig.shown_only_to("bob", "has an open incident")
    verdict = await rig.verdict(ts, count=2)
    await rig.quiet()
    assert "HEALTHY" in verdict.text
    assert "Nothing is wrong now" in rig.ws.thread(HERE, ts)[-1].text
    assert await rig.store.incidents.open_ones() == ()
    assert len(rig.roots()) == 1


async def test_where_the_bot_is_not_it_asks_to_be_invited(rig: Rig) -> None:
    await rig.alice.slash("general", "/cni", "diagnose shop")

    assert "/invite" in await rig.shown_only_to("alice", "I am not in this channel", "general")
    await rig.quiet()
    assert await rig.store.incidents.open_ones() == ()
    rig.ws.invite("general", "cni")
    await rig.alice.slash("general", "/cni", "diagnose shop")
    await rig.ws.until(lambda: rig.ws.messages("general"))


@pytest.mark.parametrize(
    ("typed", "reported"),
    [
        ("diagnose shop", "verdicts name pods and nodes, and are not posted here; ask in a channel of your own"),
        ("watch shop", "so nothing is watched here; ask in a channel of your own"),
        ("plan fix for shop", "plans name pods and nodes, and are not posted here"),
    ],
)
async def test_a_channel_shared_with_others_gets_nothing_and_hears_why(rig: Rig, typed: str, reported: str) -> None:
    rig.ws.invite("shared", "cni")
    await rig.alice.slash("shared", "/cni", typed)

    shown_only_to = await rig.shown_only_to("alice", "shared with another organisation (Slack Connect)", "shared")
    assert reported in shown_only_to
    await rig.quiet()
    assert await rig.store.watches.all() == ()
    assert await rig.store.incidents.open_ones() == ()


async def test_a_misspelt_namespace_that_shows_late_is_said_where_it_began(rig: Rig) -> None:
    rig.silent.add("lab")
    await rig.alice.slash(HERE, "/cni", "diagnose shpo")

    await rig.shown_only_to("alice", "Did you mean `shop`")
    root = await rig.said("There is no namespace")
    await rig.quiet()
    assert len(rig.ws.thread(HERE, root.ts)) == 1
    assert await rig.store.incidents.open_ones() == ()


async def test_without_a_verdict_the_thread_says_why_and_a_button_tries_again(rig: Rig) -> None:
    rig.unreachable.add("lab")
    await rig.alice.slash(HERE, "/cni", "diagnose shop")

    root = await rig.said("refuses connections")
    (reply,) = await rig.ws.until(lambda: rig.ws.thread(HERE, root.ts)[1:])
    assert "NO DIAGNOSIS" in reply.text
    (incident,) = await rig.store.incidents.open_ones()
    assert incident.status == "failed"
    rig.unreachable.clear()
    await rig.alice.click(HERE, reply.ts, "cni_rerun")

    assert "BROKEN" in (await rig.verdict(root.ts)).text


async def test_a_namespace_of_another_cluster_is_offered_there(open_rig: Opened) -> None:
    rig = await open_rig(clusters=("lab", "eu"), only_on={"games": "eu"})
    await rig.alice.slash(HERE, "/cni", "diagnose games")
    await rig.shown_only_to("alice", "but there is on `eu`")

    await rig.alice.click(HERE, rig.alice.ephemerals(HERE)[-1].ts, "cni_diagnose_namespace:0")

    root = await rig.said("games")
    assert " on eu " in (await rig.verdict(root.ts)).text


async def test_a_misspelt_pod_is_no_incident_and_gets_buttons_that_work(rig: Rig) -> None:
    await rig.alice.slash(HERE, "/cni", "diagnose shop pod aa")

    await rig.shown_only_to("alice", "There is no pod or workload `aa` in `shop`. Did you mean `a`?")
    await rig.quiet()
    assert rig.roots() == [], "nothing is for others to read"
    assert await rig.store.incidents.open_ones() == ()
    ephemeral = rig.alice.ephemerals(HERE)[-1]
    await rig.alice.click(HERE, ephemeral.ts, "cni_diagnose_pod:0")

    root = await rig.said("BROKEN")
    assert "`shop/a`" in root.text


async def test_a_pod_that_was_not_known_in_time_to_be_missing_is_told_afterwards(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def no_answer(*_: object) -> None:
        raise ForbiddenError("list", "pods")

    monkeypatch.setattr(UnreliableCluster, "check_pod", no_answer)
    await rig.alice.slash(HERE, "/cni", "diagnose shop pod aa")
    await rig.shown_only_to("alice", "There is no pod or workload `aa` in `shop`. Did you mean `a`?")
    await rig.quiet()

    (root,) = rig.roots()
    assert "NO DIAGNOSIS" in root.text
    assert await rig.store.incidents.open_ones() == ()


async def test_where_pods_may_not_be_listed_nothing_is_known(rig: Rig) -> None:
    rig.hidden.add("lab")
    await rig.alice.slash(HERE, "/cni", "diagnose shop")

    root = await rig.said("NO DIAGNOSIS")
    (said,) = await rig.ws.until(lambda: rig.ws.thread(HERE, root.ts)[1:])
    assert "I may not list pods in shop (403): nothing is known. Needed: list pods in namespace shop." in said.text
    assert "has no pods" not in said.text
    assert said.text.count("list pods in namespace shop") == 1
    assert "this says neither that it works nor that it is broken" in said.text
