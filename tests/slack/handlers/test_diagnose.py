"""`diagnose`: from what a person types to the verdict in its thread."""

from __future__ import annotations

import pytest

from tests.slack.handlers.conftest import HERE, Office, Opened, healthy


async def test_a_command_leads_to_a_thread_with_a_verdict(office: Office) -> None:
    ts, verdict = await office.diagnosed()
    await office.quiet()

    root, *replies = office.ws.thread(HERE, ts)
    assert "shop" in root.text
    assert "<@U0ALICE>" in root.text
    assert verdict in replies
    assert "BROKEN shop/a: proxy ARP is off, 1 pod has no gateway" in verdict.text
    assert verdict.action_ids == ["cni_propose_fix", "cni_details", "cni_rerun", "cni_more"]
    (file,) = await office.ws.until(lambda: office.ws.files(HERE))
    assert file.name.endswith(".md")
    (incident,) = await office.store.incidents.open_ones()
    assert (incident.status, incident.cause, incident.run) == ("broken", "calico-proxy-arp-off", 1)


async def test_the_first_word_comes_before_the_diagnosis(office: Office) -> None:
    office.gate.shut()
    await office.alice.slash(HERE, "/cni", "diagnose shop")

    (root,) = await office.ws.until(office.roots)
    assert "Diagnosing" in root.text
    office.gate.open()
    await office.verdict(root.ts)
    assert (await office.said("BROKEN")).ts == root.ts


async def test_a_healthy_namespace_leaves_no_incident_open(office: Office) -> None:
    _, verdict = await office.diagnosed("diagnose payments")

    await office.quiet()
    assert "HEALTHY" in verdict.text
    assert await office.store.incidents.open_ones() == ()
    assert office.ws.files(HERE) == []


async def test_a_mention_is_answered_in_the_thread_in_which_it_was_said(office: Office) -> None:
    ts = await office.alice.say(HERE, "models time out")
    await office.alice.say(HERE, f"{office.ws.mention} Diagnose “Shop”", thread=ts)

    verdict = await office.verdict(ts)
    assert verdict.thread_ts == ts
    assert office.roots() == []


async def test_a_misspelt_namespace_gets_buttons_that_work(office: Office) -> None:
    await office.alice.slash(HERE, "/cni", "diagnose shpo")
    await office.whispered("alice", "There is no namespace `shpo`")
    ephemeral = office.alice.whispers(HERE)[-1]

    await office.alice.click(HERE, ephemeral.ts, "cni_diagnose_namespace:0")

    (root,) = await office.ws.until(office.roots)
    assert "BROKEN" in (await office.verdict(root.ts)).text


async def test_a_second_asker_is_led_to_the_running_diagnosis(office: Office) -> None:
    office.gate.shut()
    await office.alice.slash(HERE, "/cni", "diagnose shop")
    (root,) = await office.ws.until(office.roots)
    await office.ws.user("bob").slash(HERE, "/cni", "diagnose shop")

    told = await office.whispered("bob", "is already being diagnosed")
    assert office.ws.permalink(HERE, root.ts) in told
    office.gate.open()
    await office.verdict(root.ts)
    await office.quiet()
    assert [each.ts for each in office.roots()] == [root.ts]
    (incident,) = await office.store.incidents.open_ones()
    assert incident.run == 1


async def test_asking_again_later_goes_on_in_the_same_thread(office: Office) -> None:
    ts, _ = await office.diagnosed()
    await office.quiet()
    office.recordings["shop"] = healthy()
    await office.ws.user("bob").slash(HERE, "/cni", "diagnose shop")

    assert office.ws.permalink(HERE, ts) in await office.whispered("bob", "has an open incident")
    verdict = await office.verdict(ts, count=2)
    await office.quiet()
    assert "HEALTHY" in verdict.text
    assert "Nothing is wrong now" in office.ws.thread(HERE, ts)[-1].text
    assert await office.store.incidents.open_ones() == ()
    assert len(office.roots()) == 1


async def test_where_the_bot_is_not_it_asks_to_be_invited(office: Office) -> None:
    await office.alice.slash("general", "/cni", "diagnose shop")

    assert "/invite" in await office.whispered("alice", "I am not in this channel", "general")
    await office.quiet()
    assert await office.store.incidents.open_ones() == ()
    office.ws.invite("general", "cni")
    await office.alice.slash("general", "/cni", "diagnose shop")
    await office.ws.until(lambda: office.ws.messages("general"))


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("diagnose shop", "verdicts name pods and nodes, and are not posted here; ask in a channel of your own"),
        ("watch shop", "so nothing is watched here; ask in a channel of your own"),
        ("plan fix for shop", "plans name pods and nodes, and are not posted here"),
    ],
)
async def test_a_channel_shared_with_others_gets_nothing_and_hears_why(office: Office, typed: str, told: str) -> None:
    office.ws.invite("shared", "cni")
    await office.alice.slash("shared", "/cni", typed)

    whispered = await office.whispered("alice", "shared with another organisation (Slack Connect)", "shared")
    assert told in whispered
    await office.quiet()
    assert await office.store.watches.all() == ()
    assert await office.store.incidents.open_ones() == ()


async def test_a_misspelt_namespace_that_shows_late_is_said_where_it_began(office: Office) -> None:
    office.silent.add("lab")
    await office.alice.slash(HERE, "/cni", "diagnose shpo")

    await office.whispered("alice", "Did you mean `shop`")
    root = await office.said("There is no namespace")
    await office.quiet()
    assert len(office.ws.thread(HERE, root.ts)) == 1
    assert await office.store.incidents.open_ones() == ()


async def test_without_a_verdict_the_thread_says_why_and_a_button_tries_again(office: Office) -> None:
    office.unreachable.add("lab")
    await office.alice.slash(HERE, "/cni", "diagnose shop")

    root = await office.said("refuses connections")
    (reply,) = await office.ws.until(lambda: office.ws.thread(HERE, root.ts)[1:])
    assert "NO DIAGNOSIS" in reply.text
    (incident,) = await office.store.incidents.open_ones()
    assert incident.status == "failed"
    office.unreachable.clear()
    await office.alice.click(HERE, reply.ts, "cni_rerun")

    assert "BROKEN" in (await office.verdict(root.ts)).text


async def test_a_namespace_of_another_cluster_is_offered_there(open_office: Opened) -> None:
    office = await open_office(clusters=("lab", "eu"), only_on={"games": "eu"})
    await office.alice.slash(HERE, "/cni", "diagnose games")
    await office.whispered("alice", "but there is on `eu`")

    await office.alice.click(HERE, office.alice.whispers(HERE)[-1].ts, "cni_diagnose_namespace:0")

    root = await office.said("games")
    assert " on eu " in (await office.verdict(root.ts)).text


async def test_a_misspelt_pod_is_no_incident_and_gets_buttons_that_work(office: Office) -> None:
    await office.alice.slash(HERE, "/cni", "diagnose shop pod aa")

    await office.whispered("alice", "There is no pod or workload `aa` in `shop`")
    await office.quiet()
    assert await office.store.incidents.open_ones() == ()
    ephemeral = office.alice.whispers(HERE)[-1]
    await office.alice.click(HERE, ephemeral.ts, "cni_diagnose_pod:0")

    root = await office.said("BROKEN")
    assert "`shop/a`" in root.text


async def test_where_pods_may_not_be_listed_nothing_is_known(office: Office) -> None:
    office.hidden.add("lab")
    await office.alice.slash(HERE, "/cni", "diagnose shop")

    root = await office.said("NO DIAGNOSIS")
    (said,) = await office.ws.until(lambda: office.ws.thread(HERE, root.ts)[1:])
    assert "I may not list pods in shop (403): nothing is known. Needed: list pods in namespace shop." in said.text
    assert "has no pods" not in said.text
    assert said.text.count("list pods in namespace shop") == 1
    assert "this says neither that it works nor that it is broken" in said.text
