"""`diagnose`: from what a person types to the verdict in its thread."""

from __future__ import annotations

from tests.slack.handlers.conftest import HERE, Office, Opened, healthy


async def test_a_command_leads_to_a_thread_with_a_verdict(office: Office) -> None:
    ts, verdict = await office.diagnosed()
    await office.quiet()

    root, *replies = office.ws.thread(HERE, ts)
    assert "shop" in root.text
    assert "<@U0ALICE>" in root.text
    assert verdict in replies
    assert "BROKEN: Proxy ARP is off" in verdict.text
    assert verdict.action_ids == ["cni_details", "cni_rerun", "cni_share", "cni_not_it"]
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
    whisper = office.alice.whispers(HERE)[-1]

    await office.alice.click(HERE, whisper.ts, "cni_diagnose_namespace:0")

    (root,) = await office.ws.until(office.roots)
    assert "BROKEN" in (await office.verdict(root.ts)).text


async def test_a_second_asker_is_led_to_the_running_diagnosis(office: Office) -> None:
    office.gate.shut()
    await office.alice.slash(HERE, "/cni", "diagnose shop")
    (root,) = await office.ws.until(office.roots)
    await office.ws.user("bob").slash(HERE, "/cni", "diagnose shop")

    told = await office.whispered("bob", "is being diagnosed already")
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
    assert "Nothing is wrong any more" in office.ws.thread(HERE, ts)[-1].text
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


async def test_a_channel_shared_with_others_gets_no_diagnosis(office: Office) -> None:
    office.ws.invite("shared", "cni")
    await office.alice.slash("shared", "/cni", "diagnose shop")

    await office.whispered("alice", "shared with another organisation", "shared")
    await office.quiet()
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
