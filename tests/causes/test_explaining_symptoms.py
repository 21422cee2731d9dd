"""When a cause accounts for a symptom: it must touch every flow that shows it."""

import pytest

from bot.causes.reachability import Reachability
from tests.causes.cluster_facts import healthy, subject, symptom, table

GROUND = Reachability(table(healthy()))


@pytest.mark.parametrize(
    ("claim", "subjects", "expected"),
    [
        ("gateway-silent pod shop/a", ["pod shop/a"], True),
        ("gateway-silent pod shop/a", ["pod shop/c"], False),
        ("gateway-silent pod shop/a", ["node node-1"], True),
        ("gateway-silent pod shop/a", ["node node-2"], False),
        ("gateway-silent pod shop/a", ["cluster"], True),
        ("gateway-silent node node-1: shop/a, shop/c", ["pod shop/a"], False),
        ("gateway-silent node node-1: shop/a, shop/c", ["pod shop/a", "pod shop/c"], True),
        ("service-unreachable service shop/s: shop/a>shop/b, shop/c>shop/b", ["pod shop/b"], True),
        ("service-unreachable service shop/s: shop/a>shop/b, shop/c>shop/b", ["pod shop/a"], False),
        ("service-unreachable service shop/s: shop/a>shop/b, shop/c>shop/b", ["node node-1"], True),
        ("service-unreachable service shop/s: shop/a>shop/b, shop/c>shop/b", ["pair node-1>node-2"], True),
        ("service-unreachable service shop/s: shop/a>shop/b, shop/c>shop/b", ["pair node-2>node-1"], True),
        ("service-unreachable service shop/s: shop/a>shop/b, shop/b>shop/c", ["pair node-3>node-1"], False),
        ("service-unreachable service shop/s: shop/a>shop/c", ["pair node-1>node-2"], False),
        ("service-unreachable service shop/s", ["service shop/s"], True),
        ("service-unreachable service shop/s", ["service kube-system/kube-dns"], False),
        ("service-unreachable service shop/s", ["pod shop/b", "pod shop/c"], True),
        ("service-unreachable service shop/s", ["pod shop/b", "node node-1"], True),
        ("service-unreachable service shop/s", ["pod shop/b"], False),
        ("service-unreachable service shop/s: node-3>shop/b", ["node node-3"], True),
        ("dns-failing cluster", ["service kube-system/kube-dns"], True),
        ("dns-failing cluster: shop/a>kube-system/dns-1", ["node node-1"], True),
        ("endpoint-unreachable pod shop/b", ["service shop/s"], True),
        ("pods-not-ready pod shop/b", ["service shop/s"], False),
        ("cross-node-unreachable pair node-1>node-2", ["pair node-2>node-1"], True),
        ("cross-node-unreachable pair node-1>node-2", ["node node-2"], True),
        ("cross-node-unreachable pair node-1>node-2", ["node node-3"], False),
    ],
)
def test_a_cause_explains_what_it_touches(claim: str, subjects: list[str], expected: object) -> None:
    scope = GROUND.scope(symptom(claim))

    assert scope.is_explained_by({subject(one) for one in subjects}) is expected
