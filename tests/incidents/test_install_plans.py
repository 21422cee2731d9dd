"""Plans that install Cilium, from proposal to the moment before they begin, against the lab's API server."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.domain.plan import MADE_BY, Create
from bot.domain.plan_life import PlanRecord
from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.cilium.fresh import WAITING
from bot.remediation.cilium.values import CiliumValues
from bot.remediation.requests import InstallCilium, Supplies
from bot.store import Store
from tests.incidents.planning import PlanRig, plan_rig
from tests.remediation.cilium.supplies import vendored

ASKED = InstallCilium(values=CiliumValues(pod_range="10.42.0.0/16", api_server="192.168.1.9:6443"))


@pytest.fixture
async def at(tmp_path: Path, store: Store) -> AsyncIterator[PlanRig]:
    """Three nodes that wait for a CNI, and a chart to install one from."""
    async with plan_rig(tmp_path, store) as made:
        supplies = Supplies(chart=vendored(tmp_path))
        made.settings = dataclasses.replace(made.settings, supplies=supplies)
        labels = {"k8s-app": "kube-proxy"}
        container = {"name": "kube-proxy", "image": "registry.k8s.io/kube-proxy:v1.36.2"}
        template = {"metadata": {"labels": labels}, "spec": {"hostNetwork": True, "containers": [container]}}
        proxy = {"selector": {"matchLabels": labels}, "template": template}
        made.cluster.add("daemonsets.apps", "kube-proxy", "kube-system", spec=proxy)
        for name in ("node-1", "node-2", "node-3"):
            waiting(made, name)
        yield made


def waiting(at: PlanRig, name: str, message: str = WAITING) -> None:
    ready = {"type": "Ready", "status": "False", "reason": "KubeletNotReady", "message": f"network: {message}"}
    info = {"kernelVersion": "6.1.0", "architecture": "amd64", "kubeletVersion": "v1.36.2"}
    status = {"conditions": [ready], "nodeInfo": info}
    at.cluster.storage.patch("nodes", name, None, {"status": status}, subresource="status")


async def test_a_plan_holds_every_object_whole_and_signed(at: PlanRig) -> None:
    plan = (await at.propose(ASKED)).plan

    made = [step.do for step in plan.steps if isinstance(step.do, Create)]
    assert {one.manifest["metadata"]["annotations"][MADE_BY] for one in made} == {plan.id}
    config = next(one.manifest for one in made if one.target.name == "cilium-config")
    assert config["data"]["cluster-pool-ipv4-cidr"] == "10.42.0.0/16"
    assert plan.risk == "r3"
    assert [step.title for step in plan.back[:4]] == [
        "remove Namespace cnibot-test-pods",
        "remove Deployment kube-system/cilium-operator",
        "remove DaemonSet kube-system/cilium",
        "delete Cilium's configuration from node-1",
    ]
    assert "cilium" not in {
        one["metadata"]["name"] for one in at.cluster.storage.list("serviceaccounts", "kube-system")
    }


async def test_another_chart_or_range_is_another_digest(at: PlanRig) -> None:
    other = InstallCilium(values=CiliumValues(pod_range="10.99.0.0/16", api_server="192.168.1.9:6443"))

    assert (await at.propose(ASKED)).plan.digest != (await at.propose(other)).plan.digest


async def test_the_founding_range_is_refused_where_pods_live_in_it(at: PlanRig) -> None:
    status = {"phase": "Running", "podIP": "10.42.0.7"}
    at.cluster.add("pods", "web", "shop", spec={"containers": [{"name": "a", "image": "a"}]})
    at.cluster.storage.patch("pods", "web", "shop", {"status": status}, subresource="status")

    with pytest.raises(NotPlannedError, match="two pods may share one") as refused:
        await at.propose(ASKED)
    assert "docs/remediation.md" in str(refused.value)


async def test_without_a_chart_in_the_settings_nothing_is_planned(at: PlanRig) -> None:
    with pytest.raises(NotPlannedError, match="The settings name no chart"):
        await at.propose(ASKED, at.service(supplies=Supplies()))


async def test_a_cluster_whose_nodes_wait_for_something_else_is_refused(at: PlanRig) -> None:
    waiting(at, "node-2", "PLEG is not healthy")

    with pytest.raises(NotPlannedError, match="P15: node-2: not Ready, and not because they wait for a CNI"):
        await at.propose(ASKED)


async def test_what_somebody_made_meanwhile_voids_the_approval(at: PlanRig) -> None:
    made = await at.approved(ASKED)
    at.cluster.add("serviceaccounts", "cilium", "kube-system")

    done = await at.service().execute(made.plan.id, who="replica-a")

    assert isinstance(done, PlanRecord)
    assert (done.state, done.started_at) == ("stale", 0.0)
    assert "ServiceAccount kube-system/cilium exists already" in done.sentence


async def test_a_node_that_is_ready_meanwhile_stops_it_before_anything_is_made(at: PlanRig) -> None:
    made = await at.approved(ASKED)
    ready: dict[str, Any] = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": ""}
    at.cluster.storage.patch("nodes", "node-3", None, {"status": {"conditions": [ready]}}, subresource="status")

    done = await at.service().execute(made.plan.id, who="replica-a")

    assert isinstance(done, PlanRecord)
    assert done.state == "undone"
    assert "node-3: Ready, so some CNI is configured there" in done.sentence
    namespaces = {one["metadata"]["name"]: one for one in at.cluster.storage.list("namespaces", None)}
    assert "cilium-secrets" not in namespaces
    assert "cnibot.io/plan" not in namespaces["kube-system"]["metadata"].get("annotations", {})
