"""Several faults at once share symptoms that none of them explains alone."""

from bot.causes.differential import differentiate
from bot.domain.cause import Differential
from tests.causes.cluster_facts import Facts, fixtures, subject, symptom, table
from tests.causes.test_fixtures import causes

BY_NAME = {one.name: one for one in fixtures()}


def both(*symptoms: str) -> Differential:
    values: Facts = {about: dict(of) for about, of in BY_NAME["calico-proxy-arp-off"].values.items()}
    values[subject("pod shop/c")] = dict(BY_NAME["pod-eth0-down"].values[subject("pod shop/a")])
    return differentiate(causes(), table(values), [symptom(one) for one in symptoms])


def test_two_causes_that_touch_all_flows_together_explain_the_symptom() -> None:
    found = both(
        "gateway-silent pod shop/a",
        "pod-link-down pod shop/c",
        "service-unreachable service shop/s: shop/a>shop/b, shop/c>shop/b",
    )

    assert {one.id for one in found.selected} == {"calico-proxy-arp-off", "pod-eth0-down"}
    assert found.unexplained == ()
    assert found.is_settled


def test_causes_that_only_a_shared_symptom_shows_are_found_as_well() -> None:
    found = both("service-unreachable service shop/s: shop/a>shop/b, shop/c>shop/b")

    assert {one.id for one in found.selected} == {"calico-proxy-arp-off", "pod-eth0-down"}
    assert found.unexplained == ()
    assert all(len(one.explains) == 1 for one in found.selected)


def test_a_flow_that_none_of_them_touches_leaves_the_symptom_unexplained() -> None:
    found = both("service-unreachable service shop/s: shop/a>shop/b, kube-system/dns-3>shop/b")

    assert [one.subject for one in found.unexplained] == [subject("service shop/s")]
