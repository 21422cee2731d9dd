"""`cnibot doctor --permissions`: each probe, rung and action, what it may, and what is lost without."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.app.permissions import parts, permissions_in
from bot.domain.access import Need
from bot.domain.permissions import Part, Permission
from bot.probes.catalogue import PROBES
from bot.remediation.rights import ACTION_NEEDS, INSTALLING
from bot.settings import ClusterSettings
from tests.architecture.tree import ROOT
from tests.cluster.small_cluster import SmallCluster, small_cluster

LIST_PODS = Need(verb="list", resource="pods", why="to know which pods there are")
LIST_NODES = Need(verb="list", resource="nodes", is_optional=True, why="to know nodes")


async def ask(cluster: SmallCluster, kubeconfig: str) -> dict[str, Permission]:
    found = await permissions_in("lab", ClusterSettings(kubeconfig=Path(kubeconfig)), "cnibot")
    return {each.part.name: each for each in found}


async def test_an_administrator_may_do_everything(tmp_path: Path) -> None:
    async with small_cluster(tmp_path) as cluster:
        found = await ask(cluster, cluster.kubeconfig())

    assert {each.answer for each in found.values()} == {"allowed"}
    assert set(found) == {probe.name for probe in PROBES} | {"exec", "cni-agent", "agent"} | set(ACTION_NEEDS)


async def test_who_may_nothing_is_told_what_that_costs(tmp_path: Path) -> None:
    async with small_cluster(tmp_path) as cluster:
        found = await ask(cluster, cluster.kubeconfig("eve", []))

    assert {each.answer for each in found.values()} <= {"denied", "partly"}
    assert all(each.lost for each in found.values())
    assert any(each.is_blind for each in found.values())
    assert "No node agents but standing ones" in found["agent"].lost


async def test_config_maps_by_name_are_enough(tmp_path: Path) -> None:
    """RBAC grants them so, and a question without a name is then answered with no."""
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"], "resourceNames": ["coredns"]}
    async with small_cluster(tmp_path) as cluster:
        found = await ask(cluster, cluster.kubeconfig("eve", [rule]))

    assert {need.resource for need in found["restore"].denied} == {"felixconfigurations", "installations", "ippools"}


@pytest.mark.parametrize(
    ("denied", "unknown", "answer"),
    [
        ((), (), "allowed"),
        ((LIST_NODES,), (), "partly"),
        ((LIST_NODES, LIST_PODS), (), "denied"),
        ((), (LIST_PODS,), "unknown"),
    ],
)
def test_answers(denied: Sequence[Need], unknown: Sequence[Need], answer: str) -> None:
    part = Part(kind="probe", name="dns", needs=(LIST_PODS, LIST_NODES), lost="Its facts are not observed.")
    permission = Permission(part=part, denied=tuple(denied), unknown=tuple(unknown))

    assert permission.answer == answer
    assert permission.is_blind is (LIST_PODS in denied)
    assert permission.lost == (
        f"Its facts are not observed. Missing: {'; '.join(need.why for need in denied)}." if denied else ""
    )


def test_every_action_declares_what_it_needs() -> None:
    """A new action is one that RBAC must grant, or that no role may have: its name is found where drafts are made."""
    sources = (ROOT / "bot" / "remediation" / "actions").glob("*.py")
    named = {name for source in sources for name in re.findall(r'action="([a-z-]+)"', source.read_text("utf-8"))}
    of_nodes = {"cordon", "uncordon", "drain"}

    assert named | of_nodes == set(ACTION_NEEDS) | INSTALLING
    assert not INSTALLING & set(ACTION_NEEDS), "no role may do them"
    assert {part.name for part in parts("cnibot") if part.kind == "action"} == set(ACTION_NEEDS)
