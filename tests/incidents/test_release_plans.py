"""Rollbacks of Helm releases by Helm itself: from proposal to outcome, killed, refused, and drifted."""

from __future__ import annotations

import asyncio
import base64
import gzip
import os
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from bot.cluster.client.api import Api
from bot.domain.plan import HelmRollback
from bot.domain.plan_life import PlanRecord
from bot.remediation.actions import roll_back_release
from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.requests import RollBack
from bot.remediation.rights import missing_rights
from bot.render.plans import plan_ansible, plan_shell, plan_text
from bot.store import Store
from tests.incidents.planning import plan_rig, report
from tests.incidents.releases import CONFIG, DAEMON_SET, NAMESPACE, RELEASE, Releases
from tests.incidents.test_plans import offering

BACK = RollBack()
HOOK = """
apiVersion: batch/v1
kind: Job
metadata: {name: before-rollback, namespace: kube-system, annotations: {helm.sh/hook: pre-rollback}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: a, image: a}]}}}
"""
CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: pools.example.org}
spec:
  group: example.org
  scope: Cluster
  names: {plural: pools, kind: Pool}
  versions: [{name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]
"""
SECRET = """
apiVersion: v1
kind: Secret
metadata: {name: typha, namespace: kube-system}
stringData: {tls: "{{ .Values.mtu }}-sesame", ca: "x"}
"""


@pytest.fixture
async def helm(tmp_path: Path, store: Store) -> AsyncIterator[Releases]:
    async with plan_rig(tmp_path, store) as made:
        yield Releases(made, tmp_path)


async def test_a_bad_upgrade_is_rolled_back_by_helm(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    assert helm.at.agent_images() == {"calico/node:v3.30.3"}

    done = await helm.at.run(BACK)

    assert done.state == "verified", done.sentence
    assert helm.at.agent_images() == {"calico/node:v3.30.2"}
    assert helm.at.object("configmaps", "calico-config", NAMESPACE)["data"] == {"veth_mtu": "1450"}
    assert helm.kept() == {1: "superseded", 2: "superseded", 3: "deployed"}
    assert done.plan.title == "roll Helm release kube-system/calico back to revision 1"
    assert (done.plan.action, done.plan.risk) == ("roll-back-release", "r3")
    assert (
        "cnibot.io/plan" not in helm.at.object("daemonsets.apps", "calico-node", NAMESPACE)["metadata"]["annotations"]
    )


async def test_who_approves_reads_the_charts_the_fields_and_what_stays(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()

    made = await helm.at.propose(BACK)
    text = plan_text(made)

    assert "helm rollback calico 1 --namespace=kube-system" in text
    assert "Helm release kube-system/calico: revision 2 (calico 1.0.1) → 1 (calico 1.0.0)" in text
    assert "containers[calico-node].image: calico/node:v3.30.3 → calico/node:v3.30.2" in text
    assert "ConfigMap kube-system/calico-config: data.veth_mtu: 9000 → 1450" in text
    assert "helm.sh/chart" not in text
    assert "CRDs of the chart's own directory" in text
    assert "PATCH /apis/apps/v1/namespaces/kube-system/daemonsets/calico-node" in text
    (do,) = [step.do for step in made.plan.steps if isinstance(step.do, HelmRollback)]
    assert (do.present.number, do.chosen.number) == (2, 1)
    assert all(one in text for one in (do.present.payload, do.chosen.payload))


async def test_secrets_of_the_release_are_counted_and_never_shown(helm: Releases) -> None:
    await helm.install("1.0.0", DAEMON_SET, SECRET)
    await helm.upgrade("1.0.1", DAEMON_SET, SECRET)

    made = await helm.at.propose(BACK)

    assert "Secret kube-system/typha: changes, 2 keys, content not shown" in made.plan.evidence
    for shown in (plan_text(made), msgspec.json.encode(made).decode(), plan_shell(made.plan), plan_ansible(made.plan)):
        assert "sesame" not in shown


async def test_a_rollback_that_does_not_help_is_left_to_a_person(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    helm.at.afterwards = report("broken", fails=2)

    done = await helm.at.run(BACK)

    assert done.state == "halted"
    assert helm.kept()[3] == "deployed"


async def test_a_named_revision_is_taken_and_a_failed_one_never(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade("1.0.1", values={"tag": "v3.30.4", "mtu": "1450"})
    await helm.upgrade("1.0.2")
    state(helm, 2, "failed")

    assert (await helm.at.propose(BACK)).plan.title.endswith("to revision 1")
    assert (await helm.at.propose(RollBack(revision="1"))).plan.title.endswith("to revision 1")
    with pytest.raises(NotPlannedError, match=r"Revision 2 of .* was never deployed: it is failed"):
        await helm.at.propose(RollBack(revision="2"))
    with pytest.raises(NotPlannedError, match=r"Revision 3 of .* is the present one"):
        await helm.at.propose(RollBack(revision="3"))
    with pytest.raises(NotPlannedError, match=r"no revision '9' of .* Kept: 3, 2, 1\."):
        await helm.at.propose(RollBack(revision="9"))


async def test_after_a_rollback_the_revision_must_be_named_for_the_newest_other_one_is_the_bad_one(
    helm: Releases,
) -> None:
    await helm.install()
    await helm.upgrade()
    await helm.roll_back(1)

    with pytest.raises(NotPlannedError, match=r"is a rollback itself .*Name the revision that was good"):
        await helm.at.propose(BACK)


async def test_an_upgrade_that_failed_is_rolled_back_with_a_warning(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    state(helm, 2, "failed")
    state(helm, 1, "deployed")

    done = await helm.at.run(BACK)

    assert done.state == "verified", done.sentence
    assert any("how much of it was applied is not known" in one for one in done.plan.warnings)


async def test_an_upgrade_that_failed_before_it_changed_anything_needs_no_rollback(helm: Releases) -> None:
    await helm.install()
    before = helm.at.object("daemonsets.apps", "calico-node", NAMESPACE)["spec"]["template"]
    await helm.upgrade()
    state(helm, 2, "failed")
    state(helm, 1, "deployed")
    helm.at.cluster.storage.patch("daemonsets.apps", "calico-node", NAMESPACE, {"spec": {"template": before}})

    with pytest.raises(NotPlannedError, match=r"has the template of revision 1 .* already: no pod would be replaced"):
        await helm.at.propose(BACK)


async def test_while_helm_is_at_work_nothing_is_planned(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    state(helm, 2, "pending-upgrade")

    with pytest.raises(NotPlannedError, match=r"Helm is at work .* revision 2 is pending-upgrade.* helm history"):
        await helm.at.propose(BACK)


async def test_another_minor_version_is_refused(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade(values={"tag": "v3.31.0", "mtu": "1450"})

    with pytest.raises(NotPlannedError, match="another minor version"):
        await helm.at.propose(BACK)


async def test_a_revision_without_the_crd_is_refused_for_helm_would_delete_it(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade("1.0.1", DAEMON_SET, CONFIG, CRD)

    with pytest.raises(NotPlannedError, match=r"CustomResourceDefinition kube-system/pools\.example\.org: Helm would"):
        await helm.at.propose(BACK)


async def test_a_revision_that_replaces_no_pod_is_refused(helm: Releases) -> None:
    fixed = DAEMON_SET.replace("{{ .Values.mtu }}", "1450").replace("{{ .Values.tag }}", "v3.30.2")
    await helm.install("1.0.0", fixed, CONFIG)
    await helm.upgrade("1.0.1", fixed, CONFIG)

    with pytest.raises(NotPlannedError, match="no pod would be replaced"):
        await helm.at.propose(RollBack(revision="1"))
    with pytest.raises(NotPlannedError, match="keeps no earlier revision that was deployed and has another template"):
        await helm.at.propose(BACK)


async def test_a_change_behind_helms_back_at_which_its_apply_would_stop_is_refused(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    await helm.at.bad_rollout("calico/node:v3.30.9")

    with pytest.raises(
        NotPlannedError, match=r"containers\[calico-node\]\.image.* behind the back .* --force-conflicts"
    ):
        await helm.at.propose(BACK)


async def test_what_was_added_behind_helms_back_is_a_warning_for_it_stays(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    (container,) = helm.at.object("daemonsets.apps", "calico-node", NAMESPACE)["spec"]["template"]["spec"]["containers"]
    env = [*container["env"], {"name": "FELIX_LOGSEVERITYSCREEN", "value": "Debug"}]
    added = [container | {"env": env}]
    spec = {"template": {"spec": {"containers": added}}}
    helm.at.cluster.storage.patch("daemonsets.apps", "calico-node", NAMESPACE, {"spec": spec})

    made = await helm.at.propose(BACK)

    assert any("behind Helm's back" in one and "FELIX_LOGSEVERITYSCREEN" in one for one in made.plan.warnings)


async def test_without_the_right_to_its_secrets_it_names_the_right_and_the_command(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    reads = [
        {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["get", "list", "patch"]},
        {"apiGroups": [""], "resources": ["pods", "nodes"], "verbs": ["get", "list"]},
    ]
    config = helm.at.cluster.kubeconfig("no-secrets", reads)
    helm.at.connect = lambda _: Api.connect(config)

    with pytest.raises(NotPlannedError) as refused:
        await helm.at.propose(BACK)
    assert "not allowed to list secrets in namespace kube-system" in str(refused.value)
    assert "helm rollback calico REVISION --namespace kube-system" in str(refused.value)


async def test_who_approves_in_the_terminal_must_be_allowed_what_helm_does(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    made = await helm.at.propose(BACK)
    reads = [{"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["patch"]}]

    async with Api.connect(helm.at.cluster.kubeconfig("writer", reads)) as api:
        missing = await missing_rights(made.plan, api)
    async with helm.at.connect("lab") as api:
        assert await missing_rights(made.plan, api) == ()

    assert "create secrets in kube-system" in missing
    assert "patch configmaps kube-system/calico-config" in missing
    assert not [one for one in missing if "daemonsets" in one]


async def test_a_payload_that_is_none_is_refused(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    data = {"release": base64.b64encode(b"no base64!").decode()}
    helm.at.cluster.storage.patch("secrets", helm.secret(1)["metadata"]["name"], NAMESPACE, {"data": data})

    with pytest.raises(Exception, match=r"calico\.v1 cannot be read: it is not packed as Helm does it"):
        await helm.at.propose(BACK)


async def test_an_upgrade_between_approval_and_run_voids_the_approval(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    made = await helm.at.approved(BACK)
    await helm.upgrade("1.0.2", values={"tag": "v3.30.4", "mtu": "1450"})

    done = await helm.at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "stale"
    assert helm.kept() == {1: "superseded", 2: "superseded", 3: "deployed"}
    assert helm.image() == "calico/node:v3.30.4"


async def test_what_helm_keeps_and_somebody_rewrote_voids_the_approval(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    made = await helm.at.approved(BACK)
    state(helm, 1, "failed")

    done = await helm.at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "stale"
    assert "what Helm keeps of Helm release kube-system/calico was changed by somebody else" in done.sentence.replace(
        "What", "what"
    )


async def test_helm_that_fails_before_it_has_done_anything_changes_nothing(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    made = await helm.at.approved(BACK)
    refuse_unless_dry(helm)

    done = await helm.at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "undone"
    assert "nothing was done: helm rollback failed: Error: no luck" in done.sentence
    assert helm.kept() == {1: "superseded", 2: "deployed"}


async def test_a_bot_without_the_program_says_so_and_begins_nothing(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    helm.program.unlink()

    with pytest.raises(Exception, match=r"is not installed\. Install Helm"):
        await helm.at.propose(BACK)


async def test_helm_that_is_ended_in_the_middle_is_observed_and_not_run_again(
    helm: Releases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook that never ends keeps Helm at work; the bot stops, and the next one finds a release that is pending."""
    monkeypatch.setattr(roll_back_release, "HELM_S", 4.0)
    await helm.install("1.0.0", DAEMON_SET, HOOK)
    await helm.upgrade("1.0.1", DAEMON_SET, HOOK)
    pids = tmp_path / "pids"
    wrap(helm, f"echo $$ >> {pids}")
    made = await helm.at.approved(BACK)
    assert "Hooks of revision 1 run: before-rollback." in made.plan.warnings

    async with asyncio.timeout(30), asyncio.TaskGroup() as group:
        running = group.create_task(helm.at.service().execute(made.plan.id, who="a"))
        await helm.at.cluster.until(lambda: helm.kept().get(3) == "pending-rollback")
        running.cancel()
    for pid in pids.read_text().split():
        with pytest.raises(ProcessLookupError):
            os.kill(int(pid), 0)
    before = len(pids.read_text().split())
    done = await helm.at.service().execute(made.plan.id, who="b")

    assert isinstance(done, PlanRecord)
    assert done.state == "halted"
    assert "revision 3 of Helm release kube-system/calico is pending-rollback" in done.sentence
    assert "see helm history calico" in done.sentence
    assert len(pids.read_text().split()) == before, "Helm is not run again"
    assert helm.kept() == {1: "superseded", 2: "deployed", 3: "pending-rollback"}


async def test_a_rollout_of_helms_that_the_affected_nodes_alone_run_is_offered_and_planned(helm: Releases) -> None:
    await helm.install()
    for node in ("node-1", "node-2", "node-3"):
        not_ready = [{"type": "Ready", "status": "False"}]
        helm.at.cluster.statuses[node] = {"phase": "Pending", "containerStatuses": [], "conditions": not_ready}
    await helm.upgrade()
    pods = helm.at.cluster.storage.list("pods", NAMESPACE)
    (reached,) = [pod["spec"]["nodeName"] for pod in pods if pod["spec"]["containers"][0]["image"].endswith("v3.30.3")]
    helm.at.cluster.statuses.clear()

    asked = await helm.at.service().fix_for("lab", offering(reached))
    done = await helm.at.run(asked)

    assert asked == BACK
    assert done.state == "verified", done.sentence
    assert helm.at.agent_images() == {"calico/node:v3.30.2"}


async def test_it_can_be_exported_with_a_look_before(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    plan = (await helm.at.propose(BACK)).plan

    shell, book = plan_shell(plan), msgspec.yaml.decode(plan_ansible(plan).replace("!unsafe ", ""))

    lines = shell.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("helm ")]
    assert shlex.split(lines[at]) == ["helm", "rollback", RELEASE, "1", f"--namespace={NAMESPACE}", "--timeout=300s"]
    assert "'--selector=owner=helm,name=calico,version in (2,3)'" in lines[at - 1]
    assert lines[at - 1].endswith(" = 2")
    assert any(task.get("ansible.builtin.command", {}).get("argv", [""])[0] == "helm" for task in book[0]["tasks"])
    assert "rollout status daemonset/calico-node" in shell


async def test_what_a_plan_rolled_back_no_plan_brings_back(helm: Releases) -> None:
    await helm.install()
    await helm.upgrade()
    done = await helm.at.run(BACK)
    assert await helm.at.service().drifted(done) == ""

    with pytest.raises(NotPlannedError, match=f"It would undo plan {done.plan.id}"):
        await helm.at.propose(RollBack(revision="2"))

    await helm.roll_back(2)
    assert "calico-node still has the template that it had" in await helm.at.service().drifted(done)


def state(helm: Releases, revision: int, status: str) -> None:
    """Rewrite in what state Helm keeps a revision."""
    secret = helm.secret(revision)
    content = msgspec.json.decode(gzip.decompress(base64.b64decode(base64.b64decode(secret["data"]["release"]))))
    content["info"]["status"] = status
    packed = base64.b64encode(base64.b64encode(gzip.compress(msgspec.json.encode(content)))).decode()
    changed: dict[str, Any] = {"data": {"release": packed}, "metadata": {"labels": {"status": status}}}
    helm.at.cluster.storage.patch("secrets", secret["metadata"]["name"], NAMESPACE, changed)


def wrap(helm: Releases, before: str) -> None:
    """Have the program do something before it does what it always does."""
    first, *rest = helm.program.read_text().splitlines()
    helm.program.write_text("\n".join([first, before, *rest]) + "\n")


def refuse_unless_dry(helm: Releases) -> None:
    wrap(helm, 'case "$*" in *dry-run*|version*) ;; *) echo "Error: no luck" >&2; exit 1;; esac')
