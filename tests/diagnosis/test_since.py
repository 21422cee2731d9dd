"""Since when: what readiness of the pods that fail tells, and what it does not."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from bot.cluster.objects import Condition, Namespace, ObjectMeta
from bot.diagnosis.since import since
from bot.domain.facts import Flow
from bot.domain.finding import Symptom, SymptomKind
from bot.domain.report import Since
from tests.probes.build import NOW, two_nodes

YOUNG, OLD = timedelta(minutes=5), timedelta(days=9)
AT = NOW - timedelta(minutes=1)


def conditions(initialized: datetime, unready: datetime) -> dict[str, Any]:
    """Of a pod that is not ready, as kubelet writes them: with the times at which each became what it is."""
    return {
        "is_ready": False,
        "conditions": (
            Condition(type="Initialized", status="True", last_transition_time=initialized),
            Condition(type="Ready", status="False", last_transition_time=unready),
        ),
    }


@pytest.mark.parametrize(
    ("cluster_age", "ready_after", "is_known"),
    [
        (YOUNG, timedelta(seconds=90), True),  # ready in between
        (YOUNG, timedelta(0), False),  # never ready, and neither was the cluster
        (YOUNG, timedelta(seconds=1), False),  # set together, across a second
        (OLD, timedelta(0), True),  # never ready in a cluster that has long been up
    ],
)
def test_a_pod_that_was_ready_tells_when_it_ceased(
    cluster_age: timedelta, ready_after: timedelta, *, is_known: bool
) -> None:
    cluster, a, *_ = two_nodes()
    cluster.snapshot_fields["namespaces"] = (
        Namespace(metadata=ObjectMeta(name="shop", creation_timestamp=NOW - cluster_age)),
    )
    broken = cluster.pod("shop/broken", "node-1", **conditions(AT - ready_after, AT))
    silent = Symptom(kind=SymptomKind.GATEWAY_SILENT, subject=broken, hop="gateway")
    asked = Symptom(kind=SymptomKind.SERVICE_UNREACHABLE, subject=a, hop="service", flows=(Flow(source=broken),))
    at = AT.isoformat(timespec="seconds").replace("+00:00", "Z")

    for symptom in (silent, asked):
        found = since(cluster.evidence(), [symptom])
        assert found == (Since(first=at, last=at, pods=1) if is_known else None)


def test_pods_that_are_ready_saw_nothing_begin() -> None:
    cluster, a, *_ = two_nodes()

    assert since(cluster.evidence(), [Symptom(kind=SymptomKind.GATEWAY_SILENT, subject=a, hop="gateway")]) is None
