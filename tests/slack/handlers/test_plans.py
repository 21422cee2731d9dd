"""Plans in Slack: proposed in the incident's thread, decided by buttons, each click answered."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.domain.authorization import Action, Grant
from bot.domain.plan import Person
from bot.domain.plan_life import PlanRecord
from bot.domain.plan_policy import Policy
from bot.lab.slack.message import Message
from bot.slack.handlers.plan_news import announce_glass, announce_half_done
from bot.slack.handlers.plans import look_for_drift
from bot.store import Store
from tests.incidents.planning import PlanRig, plan_rig
from tests.slack.handlers.conftest import HERE, Opened, Rig, healthy
from tests.slack.handlers.test_buttons import with_button

FIX = "plan target-port shop/web 8080"


@dataclass
class Planning:
    """A bot with a cluster that it may change."""

    rig: Rig
    at: PlanRig

    async def card(self) -> Message:
        """The card of the plan that alice proposed after a diagnosis."""
        await self.rig.diagnosed()
        assert (await self.rig.alice.slash(HERE, "/cni", FIX)).acked
        return await self.found("WAITING FOR APPROVAL")

    async def found(self, word: str) -> Message:
        """The card, once it says this."""

        def cards() -> list[Message]:
            return [
                one for one in self.rig.ws.everything(HERE) if word in one.text and "cni_plan_show" in one.action_ids
            ]

        return (await self.rig.ws.until(cards))[-1]

    async def refused(self, card: Message, why: str) -> Message:
        """The card, after bob has refused the plan."""
        bob = self.rig.ws.user("bob")
        await bob.click(HERE, card.ts, "cni_plan_refuse")
        view_id, _ = await self.rig.modal("bob", "Why?")
        await bob.submit(view_id, {"cni_plan_refuse_input": why})
        return await self.found("REFUSED")

    async def plan(self) -> PlanRecord:
        (record,) = await self.rig.store.plans.recent()
        return record

    def port(self) -> Any:
        return self.at.object("services", "web")["spec"]["ports"][0]["targetPort"]


@pytest.fixture
async def planning(open_rig: Opened, store: Store, tmp_path: Path) -> AsyncIterator[Planning]:
    async with plan_rig(tmp_path, store) as at:
        at.web()
        yield Planning(rig=await open_rig(plans=at.service()), at=at)


async def test_a_plan_is_proposed_approved_by_somebody_else_and_verified(planning: Planning) -> None:
    card = await planning.card()
    assert "spec.ports" in card.text
    assert "8081 → 8080" in card.text
    assert planning.port() == 8081

    await planning.rig.ws.user("bob").click(HERE, card.ts, "cni_plan_approve")

    ended = await planning.found("VERIFIED")
    assert ended.ts == card.ts, "one message, edited"
    assert "<@U0BOB>" in ended.text
    assert "cni_plan_approve" not in ended.action_ids
    assert planning.port() == 8080

    def news() -> list[Message]:
        """Edits notify nobody."""
        thread = planning.rig.ws.thread(HERE, str(card.thread_ts))
        return [one for one in thread if "The fault is gone" in one.text and not one.action_ids]

    assert await planning.rig.ws.until(news)


async def test_the_root_follows_the_plan_and_what_it_leaves_is_looked_at(planning: Planning) -> None:
    """Whoever reads the channel only must not read BROKEN when a plan has mended it."""
    card = await planning.card()
    await planning.rig.quiet()
    (root,) = planning.rig.roots()
    assert "🔴 *BROKEN*" in root.text
    assert "⏳ WAITING FOR APPROVAL" in root.text
    planning.rig.recordings["shop"] = healthy()

    await planning.rig.ws.user("bob").click(HERE, card.ts, "cni_plan_approve")
    await planning.found("VERIFIED")
    again = await planning.rig.verdict(root.ts, count=2)
    await planning.rig.quiet()

    assert "HEALTHY" in again.text
    (root,) = planning.rig.roots()
    plan_id = (await planning.plan()).plan.id
    assert "⚫ *CLOSED*" in root.text
    assert f": healthy · fixed by plan `{plan_id}` (<@U0BOB>)" in root.text
    assert "for a plan at" in root.text


async def test_a_refused_plan_leaves_the_root_as_it_was(planning: Planning) -> None:
    card = await planning.card()
    await planning.refused(card, "Not tonight.")
    await planning.rig.quiet()

    (root,) = planning.rig.roots()
    assert "🔴 *BROKEN*" in root.text
    assert "plan `" not in root.text


async def test_the_button_under_the_verdict_proposes_the_fix_once(planning: Planning) -> None:
    planning.at.calico()
    await planning.at.settled()
    _, verdict = await planning.rig.diagnosed()
    assert "cni_propose_fix" in verdict.action_ids
    await planning.rig.alice.click(HERE, verdict.ts, "cni_propose_fix")

    card = await planning.found("WAITING FOR APPROVAL")
    assert "restart calico-node on node-1" in card.text
    assert card.thread_ts == verdict.thread_ts

    await planning.rig.ws.user("bob").click(HERE, verdict.ts, "cni_propose_fix")
    await planning.rig.shown_only_to("bob", "waits for approval")
    await planning.plan()  # there is one


async def test_what_somebody_changes_back_opens_the_incident_again(planning: Planning) -> None:
    card = await planning.card()
    await planning.rig.ws.user("bob").click(HERE, card.ts, "cni_plan_approve")
    await planning.found("VERIFIED")
    record, services = await planning.plan(), planning.rig.services
    assert await services.plans.drifted(record) == "", "it is as the plan left it"

    ports = [{"port": 80, "targetPort": 8081}]
    planning.at.cluster.storage.patch("services", "web", "shop", {"spec": {"ports": ports}})
    await look_for_drift(services, record, {})

    reported = await planning.rig.said("no longer holds", str(card.thread_ts))
    assert "spec.ports of Service shop/web" in reported.text
    await planning.rig.verdict(str(card.thread_ts), count=3)  # before the plan, after it, and now


async def test_a_guest_proposes_nothing(planning: Planning) -> None:
    _, verdict = await planning.rig.diagnosed()
    await planning.rig.ws.user("carol").click(HERE, verdict.ts, "cni_propose_fix")

    await planning.rig.shown_only_to("carol", "Guests may not use cnibot")
    assert await planning.rig.store.plans.recent() == ()


async def test_the_button_of_an_older_verdict_proposes_nothing(planning: Planning) -> None:
    ts, verdict = await planning.rig.diagnosed()
    await planning.rig.alice.click(HERE, verdict.ts, "cni_rerun")
    await planning.rig.verdict(ts, count=2)
    await planning.rig.quiet()
    await planning.rig.alice.click(HERE, verdict.ts, "cni_propose_fix")

    await planning.rig.shown_only_to("alice", "There is a newer verdict")
    assert await planning.rig.store.plans.recent() == ()


async def test_who_proposed_it_is_told_alone_and_the_card_stays(planning: Planning) -> None:
    card = await planning.card()
    await planning.rig.alice.click(HERE, card.ts, "cni_plan_approve")

    await planning.rig.shown_only_to("alice", "You proposed this plan; another person has to approve it.")
    assert (await planning.plan()).state == "waiting"
    assert (await planning.found("WAITING")).ts == card.ts
    assert planning.port() == 8081


async def test_a_guest_cannot_approve(planning: Planning) -> None:
    card = await planning.card()
    await planning.rig.ws.user("carol").click(HERE, card.ts, "cni_plan_approve")

    await planning.rig.shown_only_to("carol", "Guests may not use cnibot")
    assert (await planning.plan()).state == "waiting"


async def test_plans_of_namespaces_that_one_may_not_read_are_not_listed(planning: Planning) -> None:
    await planning.card()
    plan_id = (await planning.plan()).plan.id
    everything = Grant(actions=frozenset(Action), users=frozenset({"U0ALICE"}))
    some = Grant(actions=frozenset({Action.READ}), users=frozenset({"U0BOB"}), namespaces=("payments",))
    object.__setattr__(planning.rig.services, "grants", (everything, some))

    await planning.rig.alice.slash(HERE, "/cni", "plans")
    assert plan_id in await planning.rig.shown_only_to("alice", plan_id)
    await planning.rig.ws.user("bob").slash(HERE, "/cni", "plans")
    told = await planning.rig.shown_only_to("bob", "plan")

    assert plan_id not in told
    assert "shop" not in told


async def test_a_second_click_is_told_what_became_of_it(planning: Planning) -> None:
    card = await planning.card()
    await planning.rig.ws.user("bob").click(HERE, card.ts, "cni_plan_approve")
    await planning.found("VERIFIED")
    old = await with_button(planning.rig, HERE, "cni_plan_approve", (await planning.plan()).plan.id)
    await planning.rig.ws.user("bob").click(HERE, old, "cni_plan_approve")

    await planning.rig.shown_only_to("bob", "has run, and every check passed")


async def test_an_expired_plan_says_so_and_loses_its_buttons(planning: Planning) -> None:
    card = await planning.card()
    planning.at.seconds = 901
    await planning.rig.ws.user("bob").click(HERE, card.ts, "cni_plan_approve")

    await planning.rig.shown_only_to("bob", "has expired")
    expired = await planning.found("EXPIRED")
    assert expired.action_ids == ["cni_rerun", "cni_plan_show"]
    assert planning.port() == 8081


async def test_a_refusal_is_said_with_its_reason(planning: Planning) -> None:
    card = await planning.card()

    refused = await planning.refused(card, "The node is drained anyway.")

    assert "The node is drained anyway." in refused.text
    assert planning.port() == 8081


async def test_what_the_cluster_has_overtaken_is_planned_again_by_a_button_and_once(planning: Planning) -> None:
    card = await planning.card()
    before = (await planning.plan()).plan
    ports = [{"port": 80, "targetPort": 8082}]
    planning.at.cluster.storage.patch("services", "web", "shop", {"spec": {"ports": ports}})
    await planning.rig.ws.user("bob").click(HERE, card.ts, "cni_plan_approve")
    stale = await planning.found("NOT RUN")
    assert stale.action_ids == ["cni_plan_again", "cni_plan_show"]

    await planning.rig.alice.click(HERE, stale.ts, "cni_plan_again")
    again = await planning.found("WAITING FOR APPROVAL")
    assert again.ts != card.ts
    assert "8082 → 8080" in again.text
    await planning.rig.ws.user("bob").click(HERE, stale.ts, "cni_plan_again")
    await planning.rig.shown_only_to("bob", "waits for approval")
    waiting = [one for one in await planning.rig.store.plans.recent() if one.state == "waiting"]
    assert len(waiting) == 1
    assert waiting[0].plan.digest != before.digest


async def test_what_stopped_half_done_is_told_to_the_whole_channel_once(planning: Planning) -> None:
    await planning.card()
    why = "Step 4 failed. A person must check what is left."
    half = msgspec.structs.replace(await planning.plan(), state="halted", sentence=why)
    for _ in range(2):
        await announce_half_done(planning.rig.services, half)
    await planning.rig.quiet()

    (told,) = [one for one in planning.rig.roots() if "HALF DONE" in one.text]
    assert why in told.text
    assert "|What was done and what was not>" in told.text


async def test_a_guest_plans_nothing_again(planning: Planning) -> None:
    card = await planning.card()
    refused = await planning.refused(card, "Not tonight.")

    await planning.rig.ws.user("carol").click(HERE, refused.ts, "cni_plan_again")
    await planning.rig.shown_only_to("carol", "Not allowed")
    assert len(await planning.rig.store.plans.recent()) == 1


STRICT = Policy(reason_required=frozenset({"r1"}), typed_cluster=frozenset({"r1"}))


@pytest.fixture
async def strict(open_rig: Opened, store: Store, tmp_path: Path) -> AsyncIterator[Planning]:
    """Where whoever approves says why, and types the cluster's name."""
    async with plan_rig(tmp_path, store) as at:
        at.web()
        yield Planning(rig=await open_rig(plans=at.service(policy=STRICT)), at=at)


async def test_what_the_policy_wants_to_be_typed_is_asked_for_in_a_window(strict: Planning) -> None:
    card = await strict.card()
    plan, bob = (await strict.plan()).plan, strict.rig.ws.user("bob")
    await bob.click(HERE, card.ts, "cni_plan_approve")
    view_id, _ = await strict.rig.modal("bob", plan.digest[:12])
    words = {"cni_plan_reason_input": "Checkout is down.", "cni_plan_cluster_input": "elsewhere"}
    await bob.submit(view_id, words)
    await strict.rig.shown_only_to("bob", "Type the name of the cluster")
    assert strict.port() == 8081

    await bob.click(HERE, card.ts, "cni_plan_approve")
    view_id, _ = await strict.rig.modal("bob", plan.digest[:12])
    await bob.submit(view_id, words | {"cni_plan_cluster_input": plan.cluster})
    await strict.found("VERIFIED")
    assert (await strict.plan()).approvals[0].reason == "Checkout is down."


async def test_a_broken_glass_is_told_to_the_whole_channel(planning: Planning) -> None:
    await planning.card()
    oncall = Person(realm="kubernetes", name="oncall@example.org")
    at_work = planning.at.service(policy=Policy(break_glass=frozenset({oncall.name})))
    plan = (await planning.plan()).plan
    await at_work.approve(plan.id, oncall, digest=plan.digest, reason="All is down", is_break_glass=True)

    await announce_glass(planning.rig.services, await planning.plan())
    reported = await planning.rig.said("GLASS BROKEN")
    assert "All is down" in reported.text
    assert oncall.name in reported.text


async def test_the_plan_is_shown_whole(planning: Planning) -> None:
    card = await planning.card()
    await planning.rig.ws.user("bob").click(HERE, card.ts, "cni_plan_show")

    _, words = await planning.rig.modal("bob", "steps:")
    assert (await planning.plan()).plan.digest in words


async def test_nothing_is_planned_without_a_diagnosis_or_without_words(planning: Planning) -> None:
    await planning.rig.alice.slash(HERE, "/cni", FIX)
    await planning.rig.shown_only_to("alice", "Nothing justifies a plan yet")
    await planning.rig.alice.slash(HERE, "/cni", "plan")
    await planning.rig.shown_only_to("alice", "What is to be planned?")
    await planning.rig.alice.slash(HERE, "/cni", "plan scale shop")
    await planning.rig.shown_only_to("alice", "plan scale NAMESPACE/DEPLOYMENT NUMBER")


async def test_what_cannot_be_planned_is_said_with_the_way_to_do_it(planning: Planning) -> None:
    tracked = {"argocd.argoproj.io/tracking-id": "shop:/Service:shop/web"}
    planning.at.cluster.storage.patch("services", "web", "shop", {"metadata": {"annotations": tracked}})
    await planning.rig.diagnosed()
    await planning.rig.alice.slash(HERE, "/cni", FIX)

    await planning.rig.shown_only_to("alice", "Argo CD application shop")


async def test_the_kill_switch_in_slack(planning: Planning) -> None:
    card = await planning.card()
    await planning.rig.ws.user("bob").slash(HERE, "/cni", "stop change freeze")
    await planning.rig.shown_only_to("bob", "All changes are stopped")
    await planning.rig.ws.user("bob").click(HERE, card.ts, "cni_plan_approve")

    ended = await planning.found("NOT RUN")
    assert "has stopped all changes (change freeze)" in ended.text
    assert planning.port() == 8081
    await planning.rig.ws.user("bob").slash(HERE, "/cni", "resume")
    await planning.rig.shown_only_to("bob", "carried out again")


async def test_a_button_of_a_plan_that_is_gone_is_answered(planning: Planning) -> None:
    card = await planning.card()
    async with planning.rig.store.connection.client() as client:
        await client.delete(planning.rig.store.connection.keys.of("plan", (await planning.plan()).plan.id))
    await planning.rig.ws.user("bob").click(HERE, card.ts, "cni_plan_approve")

    await planning.rig.shown_only_to("bob", "no longer kept")


async def test_cilium_in_the_range_of_a_cluster_that_works_is_refused_with_reasons(planning: Planning) -> None:
    await planning.rig.diagnosed()
    await planning.rig.alice.slash(HERE, "/cni", "plan install-cilium 10.42.0.0/16 for shop")

    said = await planning.rig.shown_only_to("alice", "Cilium is not installed here")
    assert "This is no fresh cluster" in said
    assert "docs/remediation.md" in said


async def test_a_range_that_is_none_and_an_option_that_is_none_are_told(planning: Planning) -> None:
    await planning.rig.diagnosed()
    await planning.rig.alice.slash(HERE, "/cni", "plan install-cilium everything for shop")
    await planning.rig.shown_only_to("alice", "'everything' is no IPv4 range")
    await planning.rig.alice.slash(HERE, "/cni", "plan install-cilium 10.42.0.0/16 kubeProxyReplacement true")
    await planning.rig.shown_only_to("alice", "plan install-cilium POD_RANGE")


async def test_taking_a_cni_away_is_refused_with_where_it_is_described(planning: Planning) -> None:
    await planning.rig.diagnosed()
    await planning.rig.alice.slash(HERE, "/cni", "plan remove-cni")
    await planning.rig.shown_only_to("alice", "No plan takes a CNI away")
