"""Rollbacks of what the Tigera operator makes: by the operator's version, or by its Installation, never behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.errors import BotError
from bot.domain.plan_journal import AuditEntry, JournalEntry
from bot.domain.plan_life import PlanRecord
from bot.remediation.actions import restore, roll_back, roll_back_tigera
from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.actions.restore import Wanted
from bot.remediation.requests import Restore, RollBack
from bot.render.plans import plan_text
from bot.store import Store, StoreUnavailableError
from bot.store.plans import Lease
from tests.incidents.planning import plan_rig
from tests.incidents.releases import Releases
from tests.incidents.tigera import (
    DEPLOYMENTS,
    GROUP,
    INSTALLATIONS,
    NAMESPACE,
    OPERATOR,
    TigeraOperator,
    tigera_operator,
)

BACK = RollBack()
OPERATOR_CHART = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: tigera-operator, namespace: tigera-operator}
spec:
  selector: {matchLabels: {k8s-app: tigera-operator}}
  template:
    metadata: {labels: {k8s-app: tigera-operator}}
    spec: {containers: [{name: tigera-operator, image: "quay.io/tigera/operator:{{ .Values.tag }}"}]}
"""


@pytest.fixture
async def tigera(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TigeraOperator]:
    async with plan_rig(tmp_path, store) as at, tigera_operator(at, monkeypatch) as operator:
        operator.install()
        await at.settled()
        assert operator.container()["image"] == "docker.io/calico/node:v3.30.1"
        yield operator


async def test_a_change_behind_the_operator_is_reverted_by_it(tigera: TigeraOperator) -> None:
    """What the plans are made for: a plain rollback of the DaemonSet would not last."""
    changed = [{**tigera.container(), "image": "docker.io/calico/node:v3.30.9"}]
    spec = {"template": {"spec": {"containers": changed}}}
    tigera.at.cluster.storage.patch("daemonsets.apps", "calico-node", NAMESPACE, {"spec": spec})
    await tigera.at.settled()

    assert tigera.container()["image"] == "docker.io/calico/node:v3.30.1"


async def test_a_bad_version_of_the_operator_is_rolled_back_by_its_deployment(tigera: TigeraOperator) -> None:
    await tigera.upgrade()
    assert tigera.container()["image"] == "docker.io/calico/node:v3.30.3"

    done = await tigera.at.run(BACK)

    assert done.state == "verified", done.sentence
    assert tigera.container()["image"] == "docker.io/calico/node:v3.30.1"
    images = {pod["spec"]["containers"][0]["image"] for pod in tigera.at.cluster.storage.list("pods", NAMESPACE)}
    assert images == {"docker.io/calico/node:v3.30.1"}
    assert done.plan.title == "roll tigera-operator back to revision 1, and calico-node with it"
    text = plan_text(done)
    assert "containers[calico-node].image: docker.io/calico/node:v3.30.3 → docker.io/calico/node:v3.30.1" in text
    assert "DaemonSet calico-system/calico-node has another template than now" in text
    assert "TigeraStatus calico is Available and not Degraded" in text
    assert await tigera.at.service().drifted(done) == ""


async def test_where_helm_installed_the_operator_helm_rolls_it_back(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with plan_rig(tmp_path, store) as at, tigera_operator(at, monkeypatch) as operator:
        helm = Releases(at, tmp_path)
        await helm.install("1.0.0", OPERATOR_CHART, values={"tag": "v1.38.1"})
        await helm.upgrade("1.0.1", OPERATOR_CHART, values={"tag": "v1.38.3"})
        assert operator.container()["image"] == "docker.io/calico/node:v3.30.3"

        done = await at.run(BACK)

        assert done.state == "verified", done.sentence
        assert operator.container()["image"] == "docker.io/calico/node:v3.30.1"
        assert helm.kept() == {1: "superseded", 2: "superseded", 3: "deployed"}
        assert done.plan.title == "roll Helm release kube-system/calico back to revision 1, and calico-node with it"


async def test_an_edited_installation_goes_back_to_what_was_applied(tigera: TigeraOperator) -> None:
    await tigera.edit(mtu=9000)
    assert tigera.container()["env"][0]["value"] == "9000"

    done = await tigera.at.run(BACK)

    assert done.state == "verified", done.sentence
    assert tigera.container()["env"][0]["value"] == "1450"
    spec = tigera.installation()["spec"]["calicoNetwork"]
    assert (spec["mtu"], spec["hostPorts"]) == (1450, "Enabled"), "the operator's own defaults stay"
    assert (
        done.plan.title == "restore calicoNetwork.mtu of Installation default as last applied, and calico-node with it"
    )
    assert tigera.at.object(DEPLOYMENTS, OPERATOR, OPERATOR)["metadata"]["generation"] == 1


async def test_another_minor_version_is_refused(tigera: TigeraOperator) -> None:
    await tigera.upgrade("v1.40.0")

    with pytest.raises(NotPlannedError, match="another minor version"):
        await tigera.at.propose(BACK)


async def test_an_installation_that_was_applied_anew_has_no_known_earlier_state(tigera: TigeraOperator) -> None:
    applied = {"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": None}}}
    tigera.at.cluster.storage.patch(INSTALLATIONS, "default", None, applied)
    await tigera.edit(mtu=9000)

    with pytest.raises(NotPlannedError, match="its earlier state is not known") as refused:
        await tigera.at.propose(BACK)
    assert "cnibot plan propose restore Installation/default --from RECORDING" in str(refused.value)
    assert "rollout undo deployment/tigera-operator" in str(refused.value)


async def test_where_both_have_changed_a_person_decides(tigera: TigeraOperator) -> None:
    await tigera.upgrade()
    await tigera.edit(mtu=9000)

    with pytest.raises(NotPlannedError, match="which of both is at fault is not known"):
        await tigera.at.propose(RollBack(revision="1"))


async def test_an_operator_that_changed_twice_since_the_revision_is_named_by_a_person(tigera: TigeraOperator) -> None:
    await tigera.upgrade("v1.38.2")
    await tigera.upgrade("v1.38.3")

    with pytest.raises(NotPlannedError, match=r"changed more than once.* Name a revision of the operator"):
        await tigera.at.propose(RollBack(revision="1"))


async def test_images_that_the_operator_does_not_name_are_not_guessed_at(tigera: TigeraOperator) -> None:
    tigera.define(imagesets="ImageSet")
    await tigera.upgrade()
    tigera.at.cluster.add(f"imagesets.{GROUP}", "calico-v3.30.3", spec={"images": []})

    with pytest.raises(NotPlannedError, match="takes its images from an ImageSet"):
        await tigera.at.propose(BACK)


async def test_an_operator_that_is_degraded_leaves_it_to_a_person(
    tigera: TigeraOperator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(roll_back, "_NODE_S", 0.1)
    monkeypatch.setattr(roll_back_tigera, "_OPERATOR_S", 0.1)
    monkeypatch.setattr(restore, "_OPERATOR_S", 0.1)
    await tigera.edit(mtu=9000)
    made = await tigera.at.approved(BACK)
    tigera.is_stuck = True

    done = await tigera.at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "halted"
    assert "calico-node still has the template that it had" in done.sentence


async def test_a_change_of_the_installation_between_approval_and_run_voids_the_approval(tigera: TigeraOperator) -> None:
    await tigera.edit(mtu=9000)
    made = await tigera.at.approved(BACK)
    await tigera.edit(mtu=8000)

    done = await tigera.at.service().execute(made.plan.id, who="a")

    assert isinstance(done, PlanRecord)
    assert done.state == "stale"
    assert "spec.calicoNetwork.mtu of Installation default was changed by somebody else" in done.sentence


@pytest.mark.parametrize("event", ["begun", "written"])
async def test_a_bot_that_dies_before_or_after_its_write_leaves_it_to_be_observed(
    tigera: TigeraOperator, monkeypatch: pytest.MonkeyPatch, event: str
) -> None:
    await tigera.upgrade()
    made = await tigera.at.approved(BACK)
    write = tigera.at.store.plans.write

    async def dying(lease: Lease, plan_id: str, place: int, line: JournalEntry, entry: AuditEntry) -> None:
        if (line.step, line.event) == (1, "written") and event == "written":
            raise StoreUnavailableError("redis", "it was killed")
        await write(lease, plan_id, place, line, entry)
        if (line.step, line.event) == (1, "begun") and event == "begun":
            raise StoreUnavailableError("redis", "it was killed")

    with monkeypatch.context() as changed:
        changed.setattr(tigera.at.store.plans, "write", dying)
        with pytest.raises(BotError):
            await tigera.at.service().execute(made.plan.id, who="a")
    generation = tigera.at.object(DEPLOYMENTS, OPERATOR, OPERATOR)["metadata"]["generation"]
    assert generation == (2 if event == "begun" else 3)

    done = await tigera.at.service().execute(made.plan.id, who="b")

    assert isinstance(done, PlanRecord)
    assert done.state == "verified", done.sentence
    assert tigera.at.object(DEPLOYMENTS, OPERATOR, OPERATOR)["metadata"]["generation"] == 3, "written once"


async def test_fields_of_a_recorded_installation_are_restored_and_pools_are_not(tigera: TigeraOperator) -> None:
    await tigera.edit(mtu=9000)
    pools = [{"cidr": "10.42.0.0/16"}]
    content: dict[str, Any] = {
        "variant": "Calico", "calicoNetwork": {"mtu": 1450, "hostPorts": "Enabled", "ipPools": pools,
                                               "nodeAddressAutodetectionV4": {"kubernetes": "NodeInternalIP"}},
    }  # fmt: skip
    wanted = Wanted(kind="Installation", name="default", content=content, at="2026-12-01T00:00:00Z")

    done = await tigera.at.run(Restore(wanted=wanted))

    assert done.state == "verified", done.sentence
    assert tigera.installation()["spec"]["calicoNetwork"]["mtu"] == 1450
    assert "ipPools" not in tigera.installation()["spec"]["calicoNetwork"]
    assert "Left as they are: calicoNetwork.ipPools." in done.plan.warnings
    await tigera.at.settled()
    assert tigera.container()["env"][0]["value"] == "1450"
