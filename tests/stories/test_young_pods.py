"""A pod's first two minutes: trouble that heals by itself is not blamed on anything, trouble that stays is."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path
from bot.cluster.objects import Pod
from bot.diagnosis.diagnose import diagnose
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.diagnosis.request import Progress, Request
from bot.domain.report import Report
from tests.conftest import LabUnderTest

NAMESPACE, NAME = "seldon-mesh", "newborn"
POD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": NAME, "labels": {"app": NAME}},
    "spec": {"nodeName": "node-1", "containers": [{"name": "mlserver", "image": "docker.io/seldonio/mlserver:1.7.1"}]},
}


@pytest.fixture(scope="module")
def knowledge() -> Knowledge:
    return load_knowledge()


async def on_node(lab: LabUnderTest, *argv: str) -> str:
    done = await lab.client.exec("node-1", argv)
    assert done.code == 0, done.err
    return done.out


@asynccontextmanager
async def newborn(lab: LabUnderTest, api: Api) -> AsyncGenerator[str, None]:
    """A new pod on node-1 with an address, whose link answers no ARP yet: the sysctl that switches it on."""
    path = api_path("pods", namespace=NAMESPACE)
    await api.create(path, POD, Pod)
    try:
        async with asyncio.timeout(20):
            while not (ip := (await api.get(f"{path}/{NAME}", Pod)).status.pod_ip):  # noqa: ASYNC110 - the API is asked
                await asyncio.sleep(0.05)
        route = (await on_node(lab, "ip", "route", "show", ip)).split()
        link = route[route.index("dev") + 1]
        await on_node(lab, "sysctl", "-w", "net.ipv4.conf.all.proxy_arp=0", f"net.ipv4.conf.{link}.proxy_arp=0")
        yield f"net.ipv4.conf.{link}.proxy_arp=1"
    finally:
        await api.delete(f"{path}/{NAME}", grace_s=0)


async def seen(lab: LabUnderTest, knowledge: Knowledge, *, heals: bool) -> Report:
    """A diagnosis of the namespace; the pod heals when the second look is announced, or never."""
    async with Api.connect(lab.kubeconfig, None) as api, newborn(lab, api) as cure, asyncio.TaskGroup() as group:

        def hear(progress: Progress) -> None:
            if heals and "looking again" in progress.sentence:
                group.create_task(on_node(lab, "sysctl", "-w", cure))

        asked = Request(namespace=NAMESPACE, with_trace=False)  # no exec but those of the looks
        return (await diagnose(api, asked, knowledge, on_progress=hear)).report


async def test_a_gateway_that_comes_late_is_transient_and_no_sysctl_is_blamed(
    calico_lab: LabUnderTest, knowledge: Knowledge
) -> None:
    report = await seen(calico_lab, knowledge, heals=True)

    assert (report.verdict.status, report.verdict.cause) == ("healthy", None), report.verdict
    assert {one.subject for one in report.transients} >= {f"pod {NAMESPACE}/{NAME}"}
    issue = next(one for one in report.known_issues if one.id == "calico-8689")
    assert issue.match == "matches"
    assert report.remediations == ()


async def test_a_gateway_that_stays_silent_is_blamed_on_its_sysctl_after_a_second_look(
    calico_lab: LabUnderTest, knowledge: Knowledge
) -> None:
    report = await seen(calico_lab, knowledge, heals=False)

    assert report.verdict.cause == "calico-proxy-arp-off"
    assert report.transients == ()
    assert report.exec_calls == 2 * report.coverage.nodes_total
