"""A cluster goes from flannel to Cilium node by node; where it does not work, it is flannel's again and well."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.lab.slack import SlackWorkspace
from bot.store import Store
from bot.store.audit import flaws
from tests.conftest import LabUnderTest
from tests.stories.cilium_in_slack import LONG_S, approved_by_another, card, settings
from tests.stories.migration import NEW, NODES, OLD, Cluster, DiedError, cluster, order
from tests.stories.shell import cnibot
from tests.stories.whole_bot import CHANNEL, running, verdicts

pytestmark = pytest.mark.lab
TAKEN = ["05-cilium.conflist", "10-flannel.conflist.cilium_bak"]
INSTALLED = ["Prepared", "MTUReady", "Installed"]


async def is_as_before(at: Cluster) -> None:
    """Flannel is the CNI of every node, every pod is its, and nothing of Cilium's is at work."""
    assert await at.configured() == {node: ["10-flannel.conflist"] for node in NODES}
    assert await at.ranges() == {OLD}
    assert await at.cordoned() == []
    assert await at.serves() == 3
    assert not [one for one in await at.names("/api/v1/namespaces/kube-system/pods") if one.startswith("cilium")]
    assert "cnibot-test-pods" not in await at.names("/api/v1/namespaces")
    nodes = await at.items("/api/v1/nodes")
    assert not [one for one in nodes if "io.cilium.migration/cilium-default" in one["metadata"]["labels"]]
    assert (await at.examine("shop", all_nodes=True)).report.verdict.status == "healthy"


async def test_every_node_is_migrated_by_one_process_and_the_one_that_takes_over(
    kubeadm_lab: LabUnderTest, store: Store, tmp_path: Path
) -> None:
    async with cluster(kubeadm_lab, store, tmp_path) as at:
        made = await at.approved()
        first = order(made)[0]

        async def look(milestone: str) -> None:
            if milestone == f"NodesMigrated {first}":
                assert await at.ranges() == {OLD, NEW}, "pods keep their network until they are made again"
                assert len(await at.reserved(first)) == 1, "what was evicted first is freed, a DaemonSet's pod is not"
                await at.given_back_by_hand(first)
                async with asyncio.timeout(10):
                    while (await at.configured())[first] != TAKEN:
                        pass  # the agent reverts it

        with pytest.raises(DiedError):
            await at.run(made, look, dies_at=f"let Cilium take {order(made)[1]} over: restart its agent")
        assert at.seen == [*INSTALLED, f"NodesMigrated {order(made)[0]}"]

        done = await at.run(made)

        assert done.state == "verified", done.sentence
        assert order(made)[-1] == "node-1", "the control plane is last"
        assert at.seen == [*INSTALLED, *(f"NodesMigrated {one}" for one in order(made)), "Finalised"]
        assert await at.ranges() == {NEW}
        assert await at.configured() == dict.fromkeys(NODES, TAKEN)
        assert await at.cordoned() == []
        assert await at.serves() == 3
        assert done.sentence.startswith("It is done. All 6 directions between nodes work")
        lines = [line async for line in store.audit.lines()]
        assert list(flaws(lines, await store.audit.head())) == []


async def test_a_range_in_use_is_refused_and_two_people_migrate_in_slack_until_one_turns_it_back(
    kubeadm_lab: LabUnderTest, store: Store, tmp_path: Path
) -> None:
    refused = cnibot(kubeadm_lab, "plan", "propose", "migrate-to-cilium", OLD, env=no_bot(tmp_path))
    assert refused.returncode != 0
    said = " ".join(refused.stderr.split())
    assert "P04: Addresses of running pods lie in 10.42.0.0/16" in said
    assert "two pods may share one until the last old pod is gone" in said
    assert "docs/remediation.md" in said

    async with (
        cluster(kubeadm_lab, store, tmp_path) as at,
        SlackWorkspace.start() as slack,
        running(kubeadm_lab, slack, tmp_path / "state", **settings(tmp_path)),
    ):
        alice, bob = slack.user("alice"), slack.user("bob")
        await alice.slash(CHANNEL, "/cni", f"plan migrate-to-cilium {OLD}")
        in_use = "P04: Addresses of running pods lie in 10.42.0.0/16"
        await slack.until(lambda: [one for one in alice.ephemerals(CHANNEL) if in_use in one.text], LONG_S)
        assert "HEALTHY" in verdicts(slack)[-1].text

        await alice.slash(CHANNEL, "/cni", f"plan migrate-to-cilium {NEW} soak 1")
        proposed = await approved_by_another(slack, "migrate")
        await slack.until(lambda: card(slack, "NodesMigrated 1 of 3"), LONG_S)
        await bob.click(CHANNEL, proposed.ts, "cni_plan_stop")
        (ended,) = await slack.until(lambda: card(slack, "UNDONE"), LONG_S)

        assert ended.ts == proposed.ts, "one message, edited"
        await is_as_before(at)


async def test_a_node_that_others_no_longer_reach_is_undone(
    kubeadm_lab: LabUnderTest, store: Store, tmp_path: Path
) -> None:
    firewall = "add table ip site; add chain ip site in { type filter hook input priority 0; }; "
    firewall += "add rule ip site in udp dport 8473 drop"
    async with cluster(kubeadm_lab, store, tmp_path) as at:
        made = await at.approved()
        first = order(made)[0]

        async def block(milestone: str) -> None:
            if milestone == "Installed":
                await kubeadm_lab.client.exec(first, ["nft", firewall])

        done = await at.run(made, block)

        assert done.state == "undone", done.sentence
        assert f"with {first} migrated: " in done.sentence
        assert "directions between nodes fail" in done.sentence
        assert at.seen == INSTALLED
        await is_as_before(at)


def no_bot(directory: Path) -> dict[str, str]:
    """Settings of a terminal at which no bot runs."""
    return {"CNIBOT_STATE_DIR": str(directory / "state"), "CNIBOT_TIMEOUT_S": "60"}
