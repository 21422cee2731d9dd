"""Conditions by which nodes say that something is wrong with them."""

import msgspec
import pytest

from bot.cluster.objects import Condition
from bot.domain import facts
from bot.domain.facts import Subject
from bot.domain.finding import Severity
from bot.probes import node_conditions
from tests.probes.build import FakeCluster, facts_of, two_nodes


def with_condition(kind: str, status: str, message: str = "") -> tuple[FakeCluster, Subject]:
    cluster, *_ = two_nodes()
    node = cluster.nodes["node-1"]
    more = Condition(type=kind, status=status, reason="NoRouteCreated", message=message)
    status_ = msgspec.structs.replace(node.status, conditions=(*node.status.conditions, more))
    cluster.nodes["node-1"] = msgspec.structs.replace(node, status=status_)
    return cluster, facts.node("node-1")


@pytest.mark.parametrize(
    ("kind", "status", "is_bad"),
    [
        ("NetworkUnavailable", "True", True),
        ("NetworkUnavailable", "False", False),
        ("MemoryPressure", "True", True),
        ("MemoryPressure", "Unknown", False),
        ("ReadonlyFilesystem", "True", True),
        ("FrequentKubeletRestart", "True", True),
        ("EtcdIsVoter", "True", False),
        ("Ready", "True", False),
    ],
)
def test_only_conditions_that_name_a_fault_count(kind: str, status: str, is_bad: bool) -> None:  # noqa: FBT001
    cluster, node = with_condition(kind, status, "what happened")

    known = facts_of(cluster.evidence(), node_conditions.PROBE).of(node)

    assert known["bad_conditions"] == ((f"{kind} (NoRouteCreated): what happened",) if is_bad else ())
    assert known["network_unavailable"] is (is_bad and kind == "NetworkUnavailable")


def test_what_a_node_says_is_quoted_on_one_bounded_line() -> None:
    cluster, _ = with_condition("NetworkUnavailable", "True", "line\n" * 500)

    [finding] = node_conditions.PROBE.judge(facts_of(cluster.evidence(), node_conditions.PROBE))

    assert finding.severity is Severity.WARN
    assert "\n" not in finding.sentence
    assert len(finding.sentence) < 500
