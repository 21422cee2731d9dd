"""A live cluster, asked by name."""

from __future__ import annotations

import pytest

from bot.domain.errors import BotError
from bot.incidents.clusters import KubeCluster
from bot.incidents.worker import open_worker
from tests.conftest import LabUnderTest

pytestmark = pytest.mark.lab


async def test_it_tells_its_software_without_an_exec(calico_lab: LabUnderTest) -> None:
    async with open_worker() as worker:
        software = await KubeCluster(name="lab", kubeconfig=calico_lab.kubeconfig, worker=worker).software()
        assert worker.pid is None

    assert software.cni == "calico"
    assert software.cni_version.startswith("3.")
    assert software.kubernetes.startswith("v1.")
    assert software.kernels


async def test_one_that_does_not_answer_is_an_error(calico_lab: LabUnderTest) -> None:
    async with open_worker() as worker:
        nowhere = KubeCluster(name="lab", kubeconfig=calico_lab.kubeconfig.with_name("none"), worker=worker)
        with pytest.raises(BotError):
            await nowhere.software()
