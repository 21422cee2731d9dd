"""Plans from proposal to outcome, against the lab's API server and a real Redis."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.cluster.client.api import Api
from bot.domain.errors import BotError
from bot.domain.plan_life import PlanRecord, Refusal
from bot.domain.plan_policy import Policy
from bot.domain.report import BlastRadius, NodeCommands, RemediationReport, Report
from bot.incidents.plans import Proposal
from bot.incidents.plans.limits import Limits, refusal
from bot.lab.cluster.apiserver.http.fault_injection import ApiFault
from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.requests import RecreatePod, RestartAgents, RollBack, Scale, Selector, TargetPort
from bot.store import Store
from bot.store.audit import flaws
from bot.store.plans import BusyError
from tests.incidents.planning import BROKEN, PlanRig, plan_rig, report
from tests.remediation.build import ALICE, BOB, CAROL

FIX = TargetPort(namespace="shop", service="web", to="8080")


@pytest.fixture
async def at(tmp_path: Path, store: Store) -> AsyncIterator[PlanRig]:
    async with plan_rig(tmp_path, store) as made:
        made.web()
        yield made


def target_port(at: PlanRig) -> Any:
    return at.object("services", "web")["spec"]["ports"][0]["targetPort"]


def annotations(at: PlanRig) -> Any:
    return at.object("services", "web")["metadata"].get("annotations", {})


async def reported(store: Store) -> list[str]:
    return [line.decode() async for line in store.audit.lines()]


async def test_a_correction_is_proposed_approved_carried_out_and_verified(at: PlanRig) -> None:
    done = await at.run(FIX)

    assert done.state == "verified"
    assert done.sentence == "The fault is gone. Healthy: 0 checks fail, before 2."
    assert target_port(at) == 8080
    assert "cnibot.io/plan" not in annotations(at)


async def test_the_audit_tells_it_from_proposal_to_outcome(at: PlanRig) -> None:
    done = await at.run(FIX)
    lines = await reported(at.store)

    assert list(flaws((line.encode() for line in lines), await at.store.audit.head())) == []
    story = [
        "proposed",
        "approved",
        "began",
        "step begun",
        "step written",
        "step verified",
        "checked begun",
        "verified",
    ]
    events = [line.split('"event":"')[1].split('"')[0] for line in lines]
    assert [event for event in dict.fromkeys(events) if event in story] == story
    assert all(f'"digest":"{done.plan.digest}"' in line for line in lines)


async def test_nothing_changes_before_it_is_approved(at: PlanRig) -> None:
    before = at.object("services", "web")
    made = await at.propose(FIX)
    refused = await at.service().execute(made.plan.id, who="a")

    assert isinstance(refused, Refusal)
    assert at.object("services", "web") == before


async def test_who_proposed_it_does_not_approve_it(at: PlanRig) -> None:
    made = await at.propose(FIX)
    answer = await at.service().approve(made.plan.id, ALICE, digest=made.plan.digest)

    assert isinstance(answer, Refusal)
    assert answer.kind == "own"


async def test_two_approvals_where_the_policy_asks_for_them(at: PlanRig) -> None:
    made = await at.propose(FIX)
    service = at.service(policy=Policy(approvals={"r1": 2}))
    first = await service.approve(made.plan.id, BOB, digest=made.plan.digest)
    again = await service.approve(made.plan.id, BOB, digest=made.plan.digest)
    second = await service.approve(made.plan.id, CAROL, digest=made.plan.digest)

    assert isinstance(first, PlanRecord)
    assert first.state == "waiting"
    assert isinstance(again, Refusal)
    assert isinstance(second, PlanRecord)
    assert second.state == "approved"


async def test_a_plan_expires(at: PlanRig) -> None:
    made = await at.propose(FIX)
    at.seconds = 901
    answer = await at.service().approve(made.plan.id, BOB, digest=made.plan.digest)

    assert isinstance(answer, Refusal)
    assert answer.kind == "expired"
    assert (await at.service().get(made.plan.id)).state == "expired"


async def test_an_approval_expires_as_well(at: PlanRig) -> None:
    made = await at.approved(FIX)
    at.seconds = 901
    answer = await at.service().execute(made.plan.id, who="a")

    assert isinstance(answer, Refusal)
    assert target_port(at) == 8081


async def test_a_change_between_approval_and_run_voids_the_approval(at: PlanRig) -> None:
    made = await at.approved(FIX)
    at.cluster.storage.patch("services", "web", "shop", {"spec": {"ports": [{"port": 80, "targetPort": 9000}]}})
    done = await at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "stale"
    assert "was changed by somebody else" in done.sentence
    assert target_port(at) == 9000


async def test_a_change_of_the_status_voids_nothing(at: PlanRig) -> None:
    made = await at.approved(FIX)
    at.cluster.storage.patch("services", "web", "shop", {"metadata": {"labels": {"seen": "yes"}}})
    done = await at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "verified"


async def test_an_object_made_again_is_another_object(at: PlanRig) -> None:
    made = await at.approved(FIX)
    at.cluster.storage.delete("services", "web", "shop")
    at.web()
    done = await at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "stale"
    assert "deleted and made again" in done.sentence


async def test_what_did_not_help_is_undone(at: PlanRig) -> None:
    at.afterwards = report("broken", fails=2)
    done = await at.run(FIX)

    assert done.state == "undone"
    assert "Nothing became better" in done.sentence
    assert target_port(at) == 8081
    assert "cnibot.io/plan" not in annotations(at)


async def test_a_diagnosis_that_saw_less_undoes_nothing_and_asks_for_a_person(at: PlanRig) -> None:
    at.afterwards = report("degraded", fails=1, nodes=1)
    done = await at.run(FIX)

    assert done.state == "halted"
    assert "1 nodes could be inspected, 3 before" in done.sentence
    assert target_port(at) == 8080


async def test_shadow_mode_checks_and_changes_nothing(at: PlanRig) -> None:
    before = at.object("services", "web")
    done = await at.run(FIX, mode="shadow")

    assert done.state == "checked"
    assert at.object("services", "web") == before


async def test_shadow_mode_does_not_go_on_with_what_was_begun_elsewhere(at: PlanRig) -> None:
    made = await at.approved(FIX)

    async def stop_there(_: PlanRecord, __: Any) -> None:
        raise RuntimeError("the process ends here")

    with pytest.raises(RuntimeError, match="ends here"):
        await at.service().execute(made.plan.id, who="a", on_move=stop_there)
    refused = await at.service(mode="shadow").execute(made.plan.id, who="b")
    done = await at.service().execute(made.plan.id, who="b")

    assert isinstance(refused, Refusal)
    assert isinstance(done, PlanRecord)
    assert done.state == "verified"


async def test_what_slack_may_not_approve_is_not_proposed_there_either(at: PlanRig) -> None:
    service = at.service(policy=Policy(not_from_slack=frozenset({"r1"})))
    proposal = Proposal(asked=FIX, cluster="lab", namespace="shop", requester=ALICE, baseline=BROKEN)

    with pytest.raises(NotPlannedError, match="approved in the terminal"):
        await service.propose(proposal)
    by_terminal = msgspec.structs.replace(ALICE, realm="kubernetes")
    made = await service.propose(dataclasses.replace(proposal, requester=by_terminal))
    assert made.state == "waiting"


async def test_shadow_mode_tells_that_it_would_not_have_run(at: PlanRig) -> None:
    made = await at.approved(FIX)
    at.cluster.storage.delete("services", "web", "shop")
    done = await at.service(mode="shadow").execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "stale"


async def test_the_kill_switch_lets_nothing_begin(at: PlanRig) -> None:
    made = await at.approved(FIX)
    await at.service().stop_all(CAROL, "change freeze")
    done = await at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "stale"
    assert "U0CAROL has stopped all changes (change freeze)" in done.sentence
    assert target_port(at) == 8081


async def test_a_newer_plan_for_the_same_object_replaces_the_older_one(at: PlanRig) -> None:
    old = await at.propose(FIX)
    await at.propose(TargetPort(namespace="shop", service="web", to="8082"))
    answer = await at.service().approve(old.plan.id, BOB, digest=old.plan.digest)

    assert isinstance(answer, Refusal)
    assert "replaced by a newer one" in answer.sentence


async def test_a_mark_of_another_bot_is_respected(at: PlanRig) -> None:
    mark = {"cnibot.io/plan": "p-other until 2099-01-01T00:00:00+00:00"}
    at.cluster.storage.patch("services", "web", "shop", {"metadata": {"annotations": mark}})

    with pytest.raises(NotPlannedError, match="plan p-other has Service shop/web in hand"):
        await at.propose(FIX)


async def test_a_mark_that_ran_out_is_not(at: PlanRig) -> None:
    mark = {"cnibot.io/plan": "p-other until 2020-01-01T00:00:00+00:00"}
    at.cluster.storage.patch("services", "web", "shop", {"metadata": {"annotations": mark}})

    assert (await at.run(FIX)).state == "verified"


async def test_what_argo_cd_reconciles_is_refused_with_the_way_to_do_it(at: PlanRig) -> None:
    tracked = {"argocd.argoproj.io/tracking-id": "shop:/Service:shop/web"}
    at.cluster.storage.patch("services", "web", "shop", {"metadata": {"annotations": tracked}})

    with pytest.raises(NotPlannedError, match=r"Argo CD application shop.*argocd app rollback shop"):
        await at.propose(FIX)


async def test_the_inverse_of_an_earlier_plan_is_refused(at: PlanRig) -> None:
    await at.run(FIX)

    with pytest.raises(NotPlannedError, match="did the opposite"):
        await at.propose(TargetPort(namespace="shop", service="web", to="8081"))


async def test_one_after_the_other_with_a_pause(at: PlanRig) -> None:
    done = await at.run(FIX)
    other = msgspec.structs.replace(done.plan, id="p-2")

    assert refusal(other, [done], Limits(), done.started_at + 60).startswith(f"Plan {done.plan.id} began 60 s ago")


@pytest.mark.parametrize("kind", ["internal-error", "drop", "too-many-requests"])
async def test_an_api_server_on_a_bad_day_is_asked_again(at: PlanRig, kind: Any) -> None:
    made = await at.approved(FIX)
    trouble = at.cluster.api_faults.add(
        ApiFault(kind=kind, matches=lambda method, path: method == "PATCH", times=2, retry_after_s=0)
    )
    done = await at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert trouble.hits == 2
    assert done.state == "verified"
    assert target_port(at) == 8080


async def test_real_changes_that_end_in_errors_are_looked_at_and_land_once(at: PlanRig) -> None:
    made = await at.approved(FIX)
    at.cluster.api_faults.add(
        ApiFault(kind="drop", matches=lambda method, path: method == "PATCH" and "dryRun" not in path, times=3)
    )
    async with at.changes_of("services") as changes:
        done = await at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "verified"
    assert len(changes) == 3, "the mark, the port, the mark off"


async def test_two_replicas_do_not_run_one_plan(at: PlanRig) -> None:
    made = await at.approved(FIX)
    lease = await at.store.plans.lease("lab", made.plan.id, "replica-b")
    with pytest.raises(BusyError):
        await at.service().execute(made.plan.id, who="replica-a")
    await at.store.plans.release(lease)
    done = await at.service().execute(made.plan.id, who="replica-a")

    assert isinstance(done, PlanRecord)
    assert done.state == "verified"


async def test_a_deployment_is_scaled_and_its_rollout_awaited(at: PlanRig) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    at.cluster.add("deployments.apps", "web", "shop", spec=spec)
    await at.settled()
    done = await at.run(Scale(namespace="shop", deployment="web", replicas=2))

    assert done.state == "verified"
    assert at.object("deployments.apps", "web")["status"]["availableReplicas"] == 2


async def test_a_pod_is_recreated_by_its_controller(at: PlanRig) -> None:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "nginx"}]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template}
    at.cluster.add("deployments.apps", "web", "shop", spec=spec)
    await at.settled()
    (old,) = at.cluster.storage.list("pods", "shop")
    done = await at.run(RecreatePod(namespace="shop", pod=old["metadata"]["name"]))
    (new,) = at.cluster.storage.list("pods", "shop")

    assert done.state == "verified"
    assert new["metadata"]["uid"] != old["metadata"]["uid"]


async def test_a_bare_pod_is_not_deleted(at: PlanRig) -> None:
    at.cluster.pod("shop", "alone")

    with pytest.raises(NotPlannedError, match="Pod shop/alone would not come back"):
        await at.propose(RecreatePod(namespace="shop", pod="alone"))


async def test_a_selector_must_choose_pods_that_exist(at: PlanRig) -> None:
    at.cluster.pod("shop", "a", metadata={"labels": {"app": "store"}})

    with pytest.raises(NotPlannedError, match="No pod in shop has these labels"):
        await at.propose(Selector(namespace="shop", service="web", labels={"app": "stor"}))
    done = await at.run(Selector(namespace="shop", service="web", labels={"app": "store"}))
    assert done.state == "verified"
    assert at.object("services", "web")["spec"]["selector"] == {"app": "store"}


# The CNI's agent


@pytest.fixture
async def calico(at: PlanRig) -> PlanRig:
    at.calico()
    await at.settled()
    return at


async def test_agents_are_restarted_one_node_after_the_other_with_the_node_cordoned(calico: PlanRig) -> None:
    before = {pod["metadata"]["uid"] for pod in calico.cluster.storage.list("pods", "kube-system")}
    done = await calico.run(RestartAgents(nodes=("node-2", "node-3")))
    after = {pod["metadata"]["uid"] for pod in calico.cluster.storage.list("pods", "kube-system")}

    assert done.state == "verified", done.sentence
    assert len(before & after) == 1
    titles = [step.title.split(" calico")[0] for step in done.plan.steps]
    assert [title.split(",")[0] for title in titles if "cordon" in title] == [
        "cordon node-2", "uncordon node-2", "cordon node-3", "uncordon node-3",
    ]  # fmt: skip
    assert not any(calico.object("nodes", f"node-{n}", None)["spec"].get("unschedulable") for n in (1, 2, 3))


async def test_an_agent_of_an_older_revision_is_no_matter_of_a_restart(calico: PlanRig) -> None:
    on_delete = {"spec": {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}}}
    calico.cluster.storage.patch("daemonsets.apps", "calico-node", "kube-system", on_delete)
    await calico.bad_rollout()

    with pytest.raises(NotPlannedError, match="not of the present revision"):
        await calico.propose(RestartAgents(nodes=("node-1",)))
    with pytest.raises(NotPlannedError, match="OnDelete"):
        await calico.propose(RollBack())


async def test_a_bad_rollout_is_rolled_back_to_the_revision_before(calico: PlanRig) -> None:
    await calico.bad_rollout()
    assert calico.agent_images() == {"calico/node:v3.30.3"}
    done = await calico.run(RollBack())

    assert done.state == "verified", done.sentence
    assert calico.agent_images() == {"calico/node:v3.30.2"}
    assert done.plan.title == "roll calico-node back to revision 1"
    assert any("v3.30.3 → calico/node:v3.30.2" in line for line in done.plan.evidence)


async def test_a_rollback_that_does_not_help_is_not_followed_by_the_bad_revision(calico: PlanRig) -> None:
    await calico.bad_rollout()
    calico.afterwards = report("broken", fails=2)
    done = await calico.run(RollBack())

    assert done.state == "halted"
    assert calico.agent_images() == {"calico/node:v3.30.2"}


async def test_another_minor_version_is_no_mere_rollback(calico: PlanRig) -> None:
    await calico.bad_rollout("calico/node:v3.31.0")

    with pytest.raises(NotPlannedError, match="another minor version"):
        await calico.propose(RollBack())


async def test_a_restart_alone_makes_no_revision_to_go_back_to(calico: PlanRig) -> None:
    template = {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}}
    calico.cluster.storage.patch("daemonsets.apps", "calico-node", "kube-system", {"spec": {"template": template}})
    await calico.settled()

    with pytest.raises(NotPlannedError, match="No revision of DaemonSet kube-system/calico-node is kept that differs"):
        await calico.propose(RollBack())


async def test_a_rollout_that_a_dead_node_would_hold_up_is_foreseen(calico: PlanRig) -> None:
    await calico.bad_rollout()
    dead = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    calico.cluster.storage.patch("nodes", "node-3", None, {"status": dead}, subresource="status")

    with pytest.raises(NotPlannedError, match=r"would stall: not Ready: node-3.*maxUnavailable"):
        await calico.propose(RollBack())


async def test_a_node_that_is_not_ready_is_not_restarted_on(calico: PlanRig) -> None:
    dead = {"conditions": [{"type": "Ready", "status": "Unknown"}]}
    calico.cluster.storage.patch("nodes", "node-3", None, {"status": dead}, subresource="status")

    with pytest.raises(NotPlannedError, match="node-3 is not Ready"):
        await calico.propose(RestartAgents(nodes=("node-3",)))


async def test_without_the_rights_it_says_which_one_is_missing(at: PlanRig) -> None:
    rules = [{"apiGroups": [""], "resources": ["services"], "verbs": ["get", "list"]}]
    config = at.cluster.kubeconfig("reader", rules)
    at.connect = lambda _: Api.connect(config)
    with pytest.raises(BotError, match="Not allowed to patch services in namespace shop"):
        await at.propose(FIX)


async def test_a_stop_in_the_middle_turns_it_back(calico: PlanRig) -> None:
    made = await calico.approved(RestartAgents(nodes=("node-1", "node-2")))
    service, seen = calico.service(), asyncio.Event()

    async def watch(_: PlanRecord, journal: Any) -> None:
        if journal[-1].event == "verified" and journal[-1].step == 3 and not seen.is_set():
            seen.set()
            await service.abort(made.plan.id, CAROL)

    done = await service.execute(made.plan.id, who="a", on_move=watch)

    assert isinstance(done, PlanRecord)
    assert done.state == "undone"
    assert "asked to stop" in done.sentence
    assert not calico.object("nodes", "node-1", None)["spec"].get("unschedulable")


def offering(*nodes: str) -> Report:
    """A verdict that offers a restart of the CNI's agent on these nodes."""
    by_kubectl = (NodeCommands(node="", commands=("kubectl delete pod -n kube-system calico-node-x",)),)
    fix = RemediationReport(id="restart-calico-node", risk="r2", why="Restart calico-node", at=by_kubectl)
    return dataclasses.replace(
        report("broken", fails=2), remediations=(fix,), blast_radius=BlastRadius(fault_nodes=nodes)
    )


async def stuck_rollout(calico: PlanRig) -> str:
    """A rollout whose new pods do not become ready; the node that it has reached."""
    for node in ("node-1", "node-2", "node-3"):
        calico.cluster.statuses[node] = {
            "phase": "Pending",
            "containerStatuses": [],
            "conditions": [{"type": "Ready", "status": "False"}],
        }
    await calico.bad_rollout()
    pods = calico.cluster.storage.list("pods", "kube-system")
    (reached,) = [pod["spec"]["nodeName"] for pod in pods if pod["spec"]["containers"][0]["image"].endswith("v3.30.3")]
    return reached


async def test_where_the_affected_nodes_run_the_new_revision_a_rollback_is_suggested(calico: PlanRig) -> None:
    reached = await stuck_rollout(calico)
    (other, *_) = {"node-1", "node-2", "node-3"} - {reached}
    service = calico.service()

    assert await service.fix_for("lab", offering(reached)) == RollBack()
    assert await service.fix_for("lab", offering(other)) == RestartAgents(nodes=(other,))


async def test_without_a_rollout_a_restart_is_suggested(calico: PlanRig) -> None:
    assert await calico.service().fix_for("lab", offering("node-2")) == RestartAgents(nodes=("node-2",))


async def test_a_verdict_without_such_a_fix_leads_to_no_plan(calico: PlanRig) -> None:
    with pytest.raises(NotPlannedError, match="owner of the host"):
        await calico.service().fix_for("lab", report("broken", fails=2))


async def test_a_stuck_rollout_is_rolled_back(calico: PlanRig) -> None:
    await stuck_rollout(calico)
    calico.cluster.statuses.clear()
    done = await calico.run(RollBack())

    assert done.state == "verified", done.sentence
    assert calico.agent_images() == {"calico/node:v3.30.2"}


async def test_while_it_runs_the_cluster_knows_what_was_approved(at: PlanRig) -> None:
    """For an admission policy; afterwards nothing is approved any more."""
    at.cluster.namespace("cnibot")
    async with at.changes_of("configmaps") as maps, at.changes_of("services") as went:
        done = await at.run(FIX, admission_policy=True)
    approvals = [one for one in maps if one.object["metadata"]["name"] == "cnibot-approval"]
    uid = at.object("services", "web")["metadata"]["uid"]
    versions = [int(one.object["metadata"]["resourceVersion"]) for one in went]

    assert done.state == "verified"
    assert [one.type for one in approvals] == ["ADDED", "DELETED"]
    assert approvals[0].object["data"] == {
        "plan": done.plan.id,
        "digest": done.plan.digest,
        uid: "metadata.annotations,spec.ports",
    }
    assert int(approvals[0].object["metadata"]["resourceVersion"]) < min(versions)
    assert max(versions) < int(approvals[1].object["metadata"]["resourceVersion"])
