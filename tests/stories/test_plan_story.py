"""A bad revision of calico-node switches proxy ARP off; the thread, the plan, two people, and the way back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from bot.cluster.client.api import Api
from bot.lab.slack import SlackWorkspace
from bot.lab.slack.message import Message
from bot.store import open_store
from bot.store.audit import flaws
from tests.conftest import LabUnderTest
from tests.stories.whole_bot import ANSWER_S, CHANNEL, running, verdicts

pytestmark = pytest.mark.lab
CALICO_NODE = "/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node"
CONTAINERS = "/spec/template/spec/containers"
CONF = "/proc/sys/net/ipv4/conf"
HARDEN = f"while :; do for f in {CONF}/all/proxy_arp {CONF}/cali*/proxy_arp; do echo 0 > $f; done; sleep 1; done"
SIDECAR = {
    "name": "harden-sysctls",
    "image": "busybox:1.36",
    "command": ["sh", "-c", HARDEN],
    "securityContext": {"privileged": True},
    "readinessProbe": {"httpGet": {"path": "/", "port": 9098}, "periodSeconds": 5},
}
"""Somebody's hardening beside calico-node. It never becomes ready, so its rollout is stuck on the first node."""
SETTINGS = {"CNIBOT_REMEDIATION": "execute", "CNIBOT_APPROVALS": '{"r3": 1}'}


@pytest.fixture
async def slack() -> AsyncIterator[SlackWorkspace]:
    async with SlackWorkspace.start() as workspace:
        yield workspace


async def switched_off(lab: LabUnderTest) -> list[str]:
    """The nodes on which no pod's interface answers for the gateway."""
    read = "cat /proc/sys/net/ipv4/conf/cali*/proxy_arp"
    values = {
        node: (await lab.client.exec(node, ["sh", "-c", read])).out.split() for node in ("node-1", "node-2", "node-3")
    }
    return [node for node, found in values.items() if set(found) == {"0"}]


@pytest.fixture
async def bad_revision(calico_lab: LabUnderTest, slack: SlackWorkspace) -> AsyncIterator[LabUnderTest]:
    """The lab with the bad revision on its first node; the former template is put back whatever the story does."""
    async with Api.connect(calico_lab.kubeconfig) as api:
        former: dict[str, Any] = (await api.get(CALICO_NODE, dict[str, Any]))["spec"]["template"]["spec"]["containers"]
        await api.patch(CALICO_NODE, [{"op": "add", "path": f"{CONTAINERS}/-", "value": SIDECAR}], dict[str, Any])
        while not await switched_off(calico_lab):
            pass
        yield calico_lab
        await api.patch(CALICO_NODE, [{"op": "replace", "path": CONTAINERS, "value": former}], dict[str, Any])


def card(slack: SlackWorkspace, word: str) -> list[Message]:
    return [one for one in slack.everything(CHANNEL) if "cni_plan_show" in one.action_ids and word in one.text]


async def test_a_bad_revision_is_rolled_back_by_two_people_and_the_audit_tells_it(
    bad_revision: LabUnderTest, slack: SlackWorkspace, tmp_path: Path
) -> None:
    lab, state = bad_revision, tmp_path / "state"
    async with running(lab, slack, state, **SETTINGS):
        alice, bob = slack.user("alice"), slack.user("bob")
        await alice.slash(CHANNEL, "/cni", "diagnose seldon-mesh")
        (verdict,) = await slack.until(lambda: verdicts(slack), ANSWER_S)
        assert "proxy ARP" in verdict.text

        await alice.slash(CHANNEL, "/cni", "plan fix for seldon-mesh")
        (proposed,) = await slack.until(lambda: card(slack, "WAITING FOR APPROVAL"), ANSWER_S)
        assert proposed.thread_ts == verdict.thread_ts
        assert "harden-sysctls" in proposed.text

        await alice.click(CHANNEL, proposed.ts, "cni_plan_approve")
        await slack.until(
            lambda: [one for one in alice.whispers(CHANNEL) if "another person has to approve it" in one.text], ANSWER_S
        )
        assert len(await switched_off(lab)) == 1, "nothing has changed yet"

        await bob.click(CHANNEL, proposed.ts, "cni_plan_approve")
        (ended,) = await slack.until(lambda: card(slack, "VERIFIED"), ANSWER_S)
        assert ended.ts == proposed.ts
        assert await switched_off(lab) == []

    async with open_store(None, state) as store:
        lines = [line async for line in store.audit.lines()]
        assert list(flaws(lines, await store.audit.head())) == []
        text = b"\n".join(lines).decode()
        for part in ("proposed", slack.user("alice").id, "approved", slack.user("bob").id, "step written", "verified"):
            assert part in text
