"""A cluster whose nodes wait for a CNI gets Cilium by two people in Slack; where it does not work it is gone again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.cluster.client.api import Api
from bot.lab.slack import SlackWorkspace
from bot.store import open_store
from bot.store.audit import flaws
from tests.conftest import LabUnderTest
from tests.stories.cilium_in_slack import LONG_S, approved_by_another, card, settings
from tests.stories.whole_bot import CHANNEL, running, verdicts

pytestmark = pytest.mark.lab
NODES = ("node-1", "node-2", "node-3")
CONF = "/etc/cni/net.d/05-cilium.conflist"


@pytest.fixture
async def slack() -> AsyncIterator[SlackWorkspace]:
    async with SlackWorkspace.start() as workspace:
        yield workspace


async def proposed_and_approved(slack: SlackWorkspace) -> None:
    """Alice asks for it, Bob approves; her own click is turned down."""
    alice = slack.user("alice")
    await alice.slash(CHANNEL, "/cni", "diagnose kube-system")
    await slack.until(lambda: verdicts(slack), LONG_S)
    await alice.slash(CHANNEL, "/cni", "plan install-cilium 10.42.0.0/16")
    await approved_by_another(slack, "install Cilium")


async def ready_nodes(api: Api) -> list[str]:
    found = (await api.list_all("/api/v1/nodes", dict[str, Any])).items
    return [
        one["metadata"]["name"]
        for one in found
        if any(each["type"] == "Ready" and each["status"] == "True" for each in one["status"]["conditions"])
    ]


async def configured(lab: LabUnderTest) -> list[str]:
    return [node for node in NODES if (await lab.client.exec(node, ["cat", CONF])).code == 0]


async def names(api: Api, path: str) -> set[str]:
    return {one["metadata"]["name"] for one in (await api.list_all(path, dict[str, Any])).items}


async def test_a_fresh_cluster_gets_its_first_cni(
    bare_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    async with Api.connect(bare_lab.kubeconfig) as api:
        assert await ready_nodes(api) == []

        async with running(bare_lab, slack, tmp_path / "state", **settings(tmp_path)):
            await proposed_and_approved(slack)
            (ended,) = await slack.until(lambda: card(slack, "VERIFIED"), LONG_S)

        assert "All 6 directions between nodes work" in ended.text
        assert await ready_nodes(api) == [*NODES]
        assert await configured(bare_lab) == [*NODES]
        assert "cnibot-test-pods" not in await names(api, "/api/v1/namespaces")
        assert await names(api, "/apis/cilium.io/v2/ciliumnodes") == {*NODES}
        pods = (await api.list_all("/api/v1/namespaces/kube-system/pods", dict[str, Any])).items
        waited = [one for one in pods if one["metadata"]["name"].startswith("coredns")]
        assert {one["status"]["phase"] for one in waited} == {"Running"}, "pods that waited start by themselves"

    async with open_store(None, tmp_path / "state") as store:
        lines = [line async for line in store.audit.lines()]
        assert list(flaws(lines, await store.audit.head())) == []


async def test_where_nodes_do_not_reach_each_other_nothing_of_it_stays_in_force(
    bare_lab: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    firewall = "add table ip site; add chain ip site in { type filter hook input priority 0; }; "
    firewall += "add rule ip site in udp dport 8472 drop"
    await bare_lab.client.exec("node-2", ["nft", firewall])

    async with Api.connect(bare_lab.kubeconfig) as api:
        async with running(bare_lab, slack, tmp_path / "state", **settings(tmp_path)):
            await proposed_and_approved(slack)
            (ended,) = await slack.until(lambda: card(slack, "UNDONE"), LONG_S)

        assert "directions between nodes fail: node-1 to node-2" in ended.text
        assert await configured(bare_lab) == []
        while await ready_nodes(api):
            pass  # kubelets look every two seconds
        assert not {one for one in await names(api, "/api/v1/namespaces/kube-system/pods") if "cilium" in one}
        for kind in ("serviceaccounts", "configmaps"):
            assert not {one for one in await names(api, f"/api/v1/namespaces/kube-system/{kind}") if "cilium" in one}
        assert await names(api, "/apis/batch/v1/namespaces/kube-system/jobs") == set()
        namespace: dict[str, Any] = await api.get("/api/v1/namespaces/kube-system", dict[str, Any])
        assert "cnibot.io/plan" not in namespace["metadata"].get("annotations", {})
