"""The suite for real clusters (`make e2e`) plays in the lab: with its objects, its faults, and nothing left behind."""

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from bot.cluster.client.api import Api
from bot.cluster.objects import Namespace
from tests.architecture.tree import ROOT
from tests.conftest import LabUnderTest


def play(lab: LabUnderTest, *options: str, timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run the suite against a lab, as `make e2e` does."""
    environment = {**os.environ, "E2E_KUBECONFIG": str(lab.kubeconfig), "E2E_NODE_FAULTS": "1", "E2E_IMAGE": ""}
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:xdist", "-p", "no:cacheprovider"]
    return subprocess.run(
        [*command, "tests/e2e", *options],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


async def namespaces(lab: LabUnderTest) -> Sequence[str]:
    async with Api.connect(lab.kubeconfig, None) as api:
        return sorted(each.metadata.name for each in (await api.list_all("/api/v1/namespaces", Namespace)).items)


async def test_a_fault_of_the_api_and_one_of_a_node_are_named_and_undone(calico_lab: LabUnderTest) -> None:
    before = await namespaces(calico_lab)

    done = play(calico_lab, "-k", "target_port or host_link", timeout_s=480)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "broken service-wrong-target-port (confirmed), agent, 4/4 pods" in done.stdout
    assert "broken host-veth-down (confirmed), agent, 4/4 pods" in done.stdout
    assert await namespaces(calico_lab) == before


@pytest.mark.long
async def test_the_whole_suite_is_green_in_every_lab(any_lab: LabUnderTest) -> None:
    done = play(any_lab, timeout_s=480)

    assert done.returncode == 0, done.stdout + done.stderr
