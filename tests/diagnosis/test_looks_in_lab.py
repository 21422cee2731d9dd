"""How often a broken lab is looked at: packets that were followed often spare the second look."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest

from bot.diagnosis.diagnose import diagnose_cluster
from bot.diagnosis.request import Progress, Request
from tests.conftest import LabUnderTest
from tests.recorded_cluster import knowledge

pytestmark = pytest.mark.lab

SILENT_RULE = (
    "table ip quiet { chain verdicts { drop; }; "
    "chain c { type filter hook forward priority -10; policy accept; tcp sport 9004 jump verdicts; }; }"
)
"""Without a counter, and behind a jump: that it takes the packets shows only in their fate."""


@pytest.fixture
async def silently_broken(calico_lab: LabUnderTest) -> AsyncGenerator[LabUnderTest]:
    await calico_lab.client.exec("node-1", ["nft", SILENT_RULE])
    yield calico_lab
    await calico_lab.client.exec("node-1", ["nft", "delete table ip quiet"])


@pytest.mark.root
@pytest.mark.parametrize("with_trace", [True, False])
async def test_what_packets_settle_is_not_looked_at_twice(silently_broken: LabUnderTest, *, with_trace: bool) -> None:
    said = list[Progress]()
    request = Request(namespace="seldon-mesh", timeout_s=120.0, with_trace=with_trace)

    found = await diagnose_cluster(silently_broken.kubeconfig, None, request, knowledge(), on_progress=said.append)

    assert bool(found.report.trace) is with_trace
    assert any("looking again" in each.sentence for each in said) is not with_trace
    assert (found.report.verdict.confidence == "confirmed") is with_trace
