"""IPsec policies that refuse packets, and whether they did."""

from typing import Any

import pytest

from bot.agent.report import IpsecPolicy
from bot.domain import facts
from bot.domain.finding import Severity
from bot.probes import ipsec
from bot.probes.shared.values import strings
from tests.probes.build import facts_of, sentences, two_nodes

BLOCK: dict[str, Any] = {"direction": "out", "action": "block", "src": "10.0.0.0/8", "dst": "172.30.0.12/32"}
NODE = facts.node("node-1")


@pytest.mark.parametrize(
    ("change", "count"),
    [
        ({}, 1),
        ({"action": "allow", "has_state": False}, 1),
        ({"action": "allow", "has_state": True}, 0),
        ({"action": "allow"}, 0),
    ],
    ids=["block", "a tunnel without a key", "a tunnel", "allow"],
)
def test_policies_that_refuse(change: dict[str, Any], count: int):
    cluster, _, _, _ = two_nodes()
    counters = {"Xfrm.OutPolBlock": 9, "Xfrm.InError": 1}
    deltas = {"Xfrm.OutPolBlock": 4, "Xfrm.InError": 1}
    cluster.root("node-1", ipsec=(IpsecPolicy(**(BLOCK | change)),), counters=counters, counters_delta=deltas)

    known = facts_of(cluster.evidence(), ipsec.PROBE)

    assert len(strings(known.of(NODE)["ipsec_policies"])) == count
    assert known.of(NODE)["ipsec_refused"] == 4
    said = ["An IPsec policy of node node-1 refuses packets"] * count
    assert [each.partition(" (")[0] for each in sentences(list(ipsec.PROBE.judge(known)), Severity.WARN)] == said


def test_without_counters_nothing_is_proven():
    cluster, _, _, _ = two_nodes()
    cluster.root("node-1", ipsec=(IpsecPolicy(**BLOCK),))

    known = facts_of(cluster.evidence(), ipsec.PROBE)

    assert "ipsec_refused" not in known.of(NODE)
    assert "ipsec_policies" not in known.of(facts.node("node-2"))
