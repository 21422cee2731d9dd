"""Rollbacks of what a HelmChart of K3s or RKE2 installs: by the HelmChart, which its controller carries out."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from bot.cluster.client.api import Api
from bot.domain.errors import BotError
from bot.domain.plan_journal import AuditEntry, JournalEntry
from bot.domain.plan_life import PlanRecord
from bot.remediation.actions import roll_back, roll_back_helm_chart
from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.active_approval import named
from bot.remediation.requests import RollBack
from bot.render.plans import plan_shell, plan_text
from bot.store import Store, StoreUnavailableError
from bot.store.plans import Lease
from tests.incidents.helm_charts import CHARTS, CONFIGS, HelmController, helm_controller
from tests.incidents.planning import plan_rig
from tests.incidents.releases import BAD, GOOD, NAMESPACE, RELEASE, Releases
from tests.incidents.test_release_plans import state

BACK = RollBack()


@pytest.fixture
async def helm(tmp_path: Path, store: Store) -> AsyncIterator[Releases]:
    async with plan_rig(tmp_path, store) as made:
        yield Releases(made, tmp_path)


@asynccontextmanager
async def upgraded(helm: Releases, **spec: Any) -> AsyncGenerator[HelmController]:
    """A HelmChart that was good, and is of another version and other values now."""
    charts = {"1.0.0": helm.chart("1.0.0"), "1.0.1": helm.chart("1.0.1")}
    async with helm_controller(helm, **charts) as controller:
        controller.add("1.0.0", GOOD, **spec)
        await controller.settled()
        assert helm.image() == "calico/node:v3.30.2"
        controller.change(version="1.0.1", valuesContent=f"tag: {BAD['tag']}\nmtu: '{BAD['mtu']}'\n")
        await controller.settled()
        assert helm.image() == "calico/node:v3.30.3"
        yield controller


def chart(helm: Releases) -> Any:
    return helm.at.object(CHARTS, RELEASE, NAMESPACE)


async def test_the_helm_chart_is_given_what_helm_keeps_of_the_good_revision(helm: Releases) -> None:
    async with upgraded(helm) as controller:
        done = await helm.at.run(BACK)

        assert done.state == "verified", done.sentence
        assert helm.at.agent_images() == {"calico/node:v3.30.2"}
        assert chart(helm)["spec"]["version"] == "1.0.0"
        assert chart(helm)["spec"]["valuesContent"] == "mtu: '1450'\ntag: v3.30.2\n"
        assert helm.kept() == {1: "superseded", 2: "superseded", 3: "deployed"}
        assert controller.runs == 3, "one upgrade, not one for each field"
        assert "cnibot.io/plan" not in chart(helm)["metadata"].get("annotations", {})
        assert (done.plan.action, done.plan.risk) == ("roll-back-helm-chart", "r3")
        assert await helm.at.service().drifted(done) == ""


async def test_who_approves_reads_version_values_and_what_they_render(helm: Releases) -> None:
    async with upgraded(helm):
        made = await helm.at.propose(BACK)

        text = plan_text(made)
        assert "roll HelmChart kube-system/calico back to revision 1 of its release" in text
        assert "spec.version: 1.0.1 → 1.0.0" in text
        assert "values: tag: v3.30.3 → v3.30.2" in text
        assert "containers[calico-node].image: calico/node:v3.30.3 → calico/node:v3.30.2" in text
        assert "Job kube-system/helm-install-calico has done its work" in text
        assert "fetches the chart from https://charts.example.org" in text
        assert "kubectl patch helmchart calico --namespace=kube-system --type=json" in plan_shell(made.plan)
        assert (
            named(made.plan)[chart(helm)["metadata"]["uid"]] == "metadata.annotations,spec.valuesContent,spec.version"
        )


async def test_a_controller_whose_job_fails_leaves_it_to_a_person(
    helm: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll_back_helm_chart, "JOB_S", 0.5)
    monkeypatch.setattr(roll_back, "_NODE_S", 0.0)
    async with upgraded(helm) as controller:
        controller.repository = {}

        done = await helm.at.run(BACK)

        assert done.state == "halted"
        assert "still has the template that it had" in done.sentence
        assert helm.kept() == {1: "superseded", 2: "deployed"}


async def test_a_bot_that_dies_after_its_write_leaves_it_to_be_observed(
    helm: Releases, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write has landed and its line has not: the next process sees the HelmChart, and changes it no more."""
    async with upgraded(helm) as controller:
        made = await helm.at.approved(BACK)
        write = helm.at.store.plans.write

        async def dying(lease: Lease, plan_id: str, place: int, line: JournalEntry, entry: AuditEntry) -> None:
            if (line.step, line.event) == (1, "written"):
                raise StoreUnavailableError("redis", "it was killed")
            await write(lease, plan_id, place, line, entry)

        with monkeypatch.context() as changed:
            changed.setattr(helm.at.store.plans, "write", dying)
            with pytest.raises(BotError):
                await helm.at.service().execute(made.plan.id, who="a")
        async with helm.at.changes_of(CHARTS) as changes:
            done = await helm.at.service().execute(made.plan.id, who="b")

        assert isinstance(done, PlanRecord)
        assert done.state == "verified", done.sentence
        assert [one.object["spec"]["version"] for one in changes] == ["1.0.0"], "the mark is taken off, and no more"
        assert controller.runs == 3


async def test_a_change_of_the_helm_chart_between_approval_and_run_voids_the_approval(helm: Releases) -> None:
    async with upgraded(helm) as controller:
        made = await helm.at.approved(BACK)
        controller.change(timeout="900s")

        done = await helm.at.service().execute(made.plan.id, who="a")

        assert isinstance(done, PlanRecord)
        assert done.state == "stale"
        assert "spec of HelmChart kube-system/calico was changed by somebody else" in done.sentence


async def test_a_release_that_failed_waits_for_a_person_by_the_policy_abort(helm: Releases) -> None:
    async with upgraded(helm) as controller:
        state(helm, 2, "failed")
        state(helm, 1, "deployed")

        with pytest.raises(NotPlannedError, match="is failed, and by the failure policy abort its controller waits"):
            await helm.at.propose(BACK)
        controller.change(failurePolicy="retry")
        assert (await helm.at.propose(BACK)).plan.title.endswith("of its release")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ({"failurePolicy": "reinstall"}, "an upgrade that fails would uninstall the CNI.* Set failurePolicy: abort"),
        ({"failurePolicy": None}, "the failure policy reinstall"),
        ({"chartContent": "aGVsbG8="}, "holds its chart itself"),
        ({"valuesSecrets": [{"name": "a", "keys": ["b"]}]}, "takes values from Secrets"),
        ({"driver": "configmap"}, "in no Secrets"),
        ({"chart": "https://charts.example.org/calico-1.0.1.tgz"}, "by the address of an archive"),
        ({"valuesContent": "tag: v3.30.9\n"}, "gives other values than revision 2"),
    ],
)
async def test_what_its_controller_would_do_otherwise_is_refused(
    helm: Releases, spec: dict[str, Any], why: str
) -> None:
    charts = {"1.0.0": helm.chart("1.0.0"), "1.0.1": helm.chart("1.0.1")}
    async with helm_controller(helm, **charts) as controller:
        controller.add("1.0.0", GOOD)
        await controller.settled()
        controller.change(version="1.0.1", valuesContent=f"tag: {BAD['tag']}\nmtu: '{BAD['mtu']}'\n")
        await controller.settled()
        controller.repository = {}
        controller.change(**spec)

        with pytest.raises(NotPlannedError, match=why):
            await helm.at.propose(BACK)


async def test_a_helm_chart_of_a_file_on_the_servers_is_the_files(helm: Releases) -> None:
    async with upgraded(helm):
        owner = {"owner-gvk": "k3s.cattle.io/v1, Kind=Addon", "owner-name": "calico"}
        annotations = {f"objectset.rio.cattle.io/{key}": value for key, value in owner.items()}
        helm.at.cluster.storage.patch(CHARTS, RELEASE, NAMESPACE, {"metadata": {"annotations": annotations}})

        with pytest.raises(
            NotPlannedError, match=r"belongs to HelmChart .*Addon calico.* their files have the last word"
        ):
            await helm.at.propose(BACK)


async def test_values_of_a_helm_chart_config_are_not_taken_apart(helm: Releases) -> None:
    async with upgraded(helm):
        helm.at.cluster.add(CONFIGS, RELEASE, NAMESPACE, spec={"valuesContent": "mtu: 1400\n"})

        with pytest.raises(
            NotPlannedError, match=r"completed by HelmChartConfig .* kubectl edit helmchartconfig calico"
        ):
            await helm.at.propose(BACK)


async def test_values_that_hold_a_secret_are_kept_in_no_plan(helm: Releases) -> None:
    charts = {"1.0.0": helm.chart("1.0.0"), "1.0.1": helm.chart("1.0.1")}
    async with helm_controller(helm, **charts) as controller:
        controller.add("1.0.0", {**GOOD, "etcd": {"password": "open-sesame-7"}})
        await controller.settled()
        controller.change(version="1.0.1", valuesContent=f"tag: {BAD['tag']}\nmtu: '{BAD['mtu']}'\n")
        await controller.settled()

        with pytest.raises(NotPlannedError, match="looks like a secret") as refused:
            await helm.at.propose(BACK)
        assert "sesame" not in str(refused.value)


async def test_a_helm_chart_that_may_not_be_read_is_no_release_without_one(helm: Releases) -> None:
    async with upgraded(helm):
        reads = [
            {"apiGroups": ["apps"], "resources": ["*"], "verbs": ["get", "list", "patch"]},
            {"apiGroups": [""], "resources": ["*"], "verbs": ["get", "list"]},
        ]
        config = helm.at.cluster.kubeconfig("no-charts", reads)
        helm.at.connect = lambda _: Api.connect(config)

        with pytest.raises(Exception, match=r"Not allowed to list helmcharts\.helm\.cattle\.io"):
            await helm.at.propose(BACK)
