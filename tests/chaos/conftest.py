"""The lab of all scenarios, broken in one known way, so that no verdict but one may be certain."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from bot.lab.cluster import launch
from bot.lab.cluster.control import LabClient
from bot.lab.errors import NotPermittedError
from tests.chaos.invariants import CAUSE
from tests.chaos.system import BrokenLab


@pytest.fixture(scope="session")
def broken_lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokenLab]:
    """Two nodes with calico-vxlan, of which the first no longer answers ARP for its pods' gateway."""
    directory = tmp_path_factory.mktemp("lab") / "chaos"
    try:
        lab = launch.start(directory, launch.LabOptions(cni="calico-vxlan", nodes=2), attached=True)
    except NotPermittedError as error:
        pytest.skip(str(error))
    try:
        client = LabClient(directory)
        asyncio.run(client.break_(CAUSE, node="node-1"))
        yield BrokenLab(cni="calico-vxlan", client=client, pid=lab.pid)
    finally:
        lab.stop()
