"""Cordon, uncordon and drain, against the lab's API server, which heeds PodDisruptionBudgets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cluster.objects import ConfigMap, ObjectMeta
from bot.cluster.objects.others import CustomObject
from bot.cluster.snapshot.snapshot import Snapshot
from bot.diagnosis.recording import SCHEMA, Recording
from bot.domain.plan import Baseline, Replace
from bot.domain.plan_life import PlanRecord
from bot.domain.redact import MASK
from bot.incidents.plans.recorded import recorded
from bot.remediation.actions.draft import NotPlannedError
from bot.remediation.actions.restore import Wanted, restore
from bot.remediation.requests import Cordon, Drain, Restore, Uncordon
from bot.render.plans import plan_ansible, plan_shell
from bot.store import Store
from tests.incidents.planning import PlanRig, plan_rig, report
from tests.remediation.build import BOB

LABELS = {"app": "web"}
DEPLOYMENT = {
    "replicas": 2,
    "selector": {"matchLabels": LABELS},
    "template": {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "web", "image": "nginx:1.27"}]}},
}


@pytest.fixture
async def at(tmp_path: Path, store: Store) -> AsyncIterator[PlanRig]:
    async with plan_rig(tmp_path, store) as made:
        made.cluster.add("deployments.apps", "web", "shop", spec=DEPLOYMENT)
        await made.settled()
        yield made


def pods_on(at: PlanRig, node: str) -> list[str]:
    pods = at.cluster.storage.list("pods", "shop")
    return [pod["metadata"]["name"] for pod in pods if pod["spec"].get("nodeName") == node]


def busiest(at: PlanRig) -> str:
    return max(("node-1", "node-2", "node-3"), key=lambda node: len(pods_on(at, node)))


def is_cordoned(at: PlanRig, node: str) -> bool:
    return bool(at.object("nodes", node, None)["spec"].get("unschedulable"))


async def test_a_node_is_drained_and_let_in_again(at: PlanRig) -> None:
    node = busiest(at)
    at.afterwards = report("broken", fails=2)
    done = await at.run(Drain(node=node))

    assert done.state == "verified", done.sentence
    assert "Nothing became worse" in done.sentence
    assert pods_on(at, node) == []
    assert is_cordoned(at, node)
    await at.settled()
    assert len(at.cluster.storage.list("pods", "shop")) == 2

    assert (await at.run(Uncordon(node=node))).state == "verified"
    assert not is_cordoned(at, node)


async def test_a_budget_that_lets_nobody_go_keeps_the_pods_and_the_node_is_let_in_again(at: PlanRig) -> None:
    node = busiest(at)
    before = pods_on(at, node)
    made = await at.approved(Drain(node=node))
    budget: dict[str, Any] = {"minAvailable": 2, "selector": {"matchLabels": LABELS}}
    at.cluster.add("poddisruptionbudgets.policy", "web", "shop", spec=budget)
    await at.settled()
    done = await at.service(unknown_s=0.2).execute(made.plan.id, who="replica-a")

    assert isinstance(done, PlanRecord)
    assert done.state in {"stale", "undone"}
    assert "disruption budget" in done.sentence
    assert pods_on(at, node) == before
    assert not is_cordoned(at, node)


async def test_what_becomes_worse_lets_the_node_in_again(at: PlanRig) -> None:
    at.afterwards = report("broken", fails=2)
    made = await at.propose(Cordon(node="node-1"), baseline=Baseline(status="healthy", nodes_observed=3))
    await at.service().approve(made.plan.id, BOB, digest=made.plan.digest)
    done = await at.service().execute(made.plan.id, who="replica-a")

    assert isinstance(done, PlanRecord)
    assert done.state == "undone", done.sentence
    assert not is_cordoned(at, "node-1")


async def test_a_pod_that_nobody_makes_again_is_not_evicted(at: PlanRig) -> None:
    node = busiest(at)
    spec = {"nodeName": node, "containers": [{"name": "x", "image": "x"}]}
    at.cluster.add("pods", "bare", "shop", spec=spec)

    with pytest.raises(NotPlannedError, match="Nobody would make these pods again: shop/bare"):
        await at.propose(Drain(node=node))


async def test_the_evictions_are_written_as_commands(at: PlanRig) -> None:
    made = await at.propose(Drain(node=busiest(at)))
    script = plan_shell(made.plan)

    assert "kubectl create --raw /api/v1/namespaces/shop/pods/web-" in script
    assert '"kind":"Eviction"' in script
    assert plan_ansible(made.plan).count("stdin:") == script.count("Eviction")


# Configuration


def recording(**snapshot: Any) -> Recording:
    kept = Snapshot(cluster="lab", taken_at=datetime(2026, 1, 2, tzinfo=UTC), namespace="shop", **snapshot)
    return Recording(schema=SCHEMA, started_at="2026-01-02T03:04:05Z", took_s=1.0, snapshot=kept)


def calico_config(**data: str) -> ConfigMap:
    return ConfigMap(metadata=ObjectMeta(namespace="kube-system", name="calico-config"), data=data)


async def test_a_configuration_is_put_back_by_its_safe_fields_alone(at: PlanRig) -> None:
    at.cluster.add("configmaps", "calico-config", "kube-system", data={"veth_mtu": "9000", "other": "new"})
    before = recording(config_maps=(calico_config(veth_mtu="1450", other="old"),))
    asked = Restore(wanted=recorded(before, "ConfigMap/kube-system/calico-config"))
    made = await at.propose(asked)
    assert "Left as they are: other." in made.plan.warnings

    done = await at.run(asked)
    assert done.state == "verified", done.sentence
    assert at.object("configmaps", "calico-config", "kube-system")["data"] == {"veth_mtu": "1450", "other": "new"}


async def test_a_configuration_that_did_not_help_is_as_it_was(at: PlanRig) -> None:
    at.cluster.add("configmaps", "calico-config", "kube-system", data={"veth_mtu": "9000"})
    at.afterwards = report("broken", fails=2)
    done = await at.run(Restore(wanted=recorded(recording(config_maps=(calico_config(veth_mtu="1450"),)), CONFIG)))

    assert done.state == "undone"
    assert at.object("configmaps", "calico-config", "kube-system")["data"] == {"veth_mtu": "9000"}


CONFIG = "ConfigMap/kube-system/calico-config"


def pool(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "default", "uid": "u", "resourceVersion": "7"}
    return {"metadata": metadata, "spec": {"cidr": "10.42.0.0/16", "blockSize": 26} | spec}


def wanted_pool(**spec: Any) -> Wanted:
    obj = CustomObject(kind="IPPool", metadata=ObjectMeta(name="default"), spec=pool(**spec)["spec"])
    return recorded(recording(custom_objects={"ippools": (obj,)}), "IPPool/default")


def test_the_range_of_a_pool_is_never_put_back() -> None:
    with pytest.raises(NotPlannedError, match="cidr of IPPool default is another one now"):
        restore(pool(natOutgoing=False), wanted_pool(natOutgoing=True, cidr="10.43.0.0/16"))


def test_an_encapsulation_is_put_back_with_a_warning() -> None:
    draft = restore(pool(vxlanMode="Never"), wanted_pool(vxlanMode="Always"))

    (step,) = draft.steps
    assert isinstance(step.do, Replace)
    assert (step.do.field, step.do.before, step.do.after) == (("spec", "vxlanMode"), "Never", "Always")
    assert any("drops traffic" in one for one in draft.warnings)


def test_what_the_recording_struck_out_is_not_put_back() -> None:
    config = {"metadata": {"name": "coredns", "namespace": "kube-system", "uid": "u", "resourceVersion": "7"}}
    kept = ConfigMap(metadata=ObjectMeta(namespace="kube-system", name="coredns"), data={"Corefile": f"x {MASK}"})

    with pytest.raises(NotPlannedError, match="secrets were struck out"):
        restore(config, recorded(recording(config_maps=(kept,)), "ConfigMap/kube-system/coredns"))


def test_what_is_not_in_the_recording_is_not_invented() -> None:
    with pytest.raises(NotPlannedError, match="holds no IPPool/other"):
        recorded(recording(), "IPPool/other")
    with pytest.raises(NotPlannedError, match="is none of"):
        recorded(recording(), "Secret/kube-system/x")


@given(st.sets(st.sampled_from(["cidr", "blockSize", "ipipMode", "natOutgoing", "foo", "nodeSelector"]), min_size=1))
def test_only_allowed_fields_are_ever_written(changed: set[str]) -> None:
    try:
        draft = restore(pool(), wanted_pool(**dict.fromkeys(changed, "x")))
    except NotPlannedError:
        return
    written = {step.do.field[1] for step in draft.steps if isinstance(step.do, Replace)}
    assert written == changed & {"ipipMode", "natOutgoing", "nodeSelector"}
    assert not changed & {"cidr", "blockSize"}
