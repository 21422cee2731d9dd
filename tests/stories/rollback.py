"""A bad revision of calico-node switches proxy ARP off: what the stories of its rollback have in common."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from bot.cluster.client.api import Api
from bot.lab.slack import SlackWorkspace
from bot.lab.slack.message import Message
from tests.conftest import LabUnderTest
from tests.stories.whole_bot import ANSWER_S, CHANNEL, verdicts

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


async def switched_off(lab: LabUnderTest) -> list[str]:
    """The nodes on which no pod's interface answers for the gateway."""
    read = "cat /proc/sys/net/ipv4/conf/cali*/proxy_arp"
    values = {
        node: (await lab.client.exec(node, ["sh", "-c", read])).out.split() for node in ("node-1", "node-2", "node-3")
    }
    return [node for node, found in values.items() if set(found) == {"0"}]


@asynccontextmanager
async def rolled_out(lab: LabUnderTest) -> AsyncGenerator[None]:
    """The bad revision is on the lab's first node; the former template is put back whatever the story does."""
    async with Api.connect(lab.kubeconfig) as api:
        former: dict[str, Any] = (await api.get(CALICO_NODE, dict[str, Any]))["spec"]["template"]["spec"]["containers"]
        await api.patch(CALICO_NODE, [{"op": "add", "path": f"{CONTAINERS}/-", "value": SIDECAR}], dict[str, Any])
        while not await switched_off(lab):
            pass
        try:
            yield
        finally:
            await api.patch(CALICO_NODE, [{"op": "replace", "path": CONTAINERS, "value": former}], dict[str, Any])


def card(slack: SlackWorkspace, word: str) -> list[Message]:
    """The plan's card, when it says this."""
    return [one for one in slack.everything(CHANNEL) if "cni_plan_show" in one.action_ids and word in one.text]


async def proposed(slack: SlackWorkspace) -> Message:
    """The card of the plan that alice asked for after a diagnosis, in the verdict's thread."""
    alice = slack.user("alice")
    await alice.slash(CHANNEL, "/cni", "diagnose seldon-mesh")
    (verdict,) = await slack.until(lambda: verdicts(slack), ANSWER_S)
    assert "proxy ARP" in verdict.text
    await alice.slash(CHANNEL, "/cni", "plan fix for seldon-mesh")
    (waiting,) = await slack.until(lambda: card(slack, "WAITING FOR APPROVAL"), ANSWER_S)
    assert waiting.thread_ts == verdict.thread_ts
    return waiting
