"""A failing pod against a healthy sibling, and a cause against packets that were followed."""

import pytest

from bot.causes.contrast import contrast, healthy_sibling
from bot.causes.differential import differentiate
from bot.domain.facts import SubjectKind
from tests.causes.cluster_facts import changed, fixtures, subject, table
from tests.causes.test_fixtures import causes

FIXTURE = next(one for one in fixtures() if one.name == "calico-proxy-arp-off")
A, B, C = (subject(f"pod shop/{name}") for name in "abc")


def test_the_sibling_is_a_healthy_pod_of_the_same_node() -> None:
    assert healthy_sibling(FIXTURE.facts, A, ()) == subject("pod kube-system/dns-1")


def test_neither_a_suspect_nor_a_pod_that_was_not_seen_is_a_sibling() -> None:
    unseen = {"reach_own_node": None, "node_reaches_pod": None, "gateway_arp": None}
    facts = table(changed(FIXTURE.values, {"pod kube-system/dns-1": unseen}))

    assert healthy_sibling(facts, A, {C}) == subject("pod kube-system/dns-3")
    assert healthy_sibling(facts, A, {B, C, subject("pod kube-system/dns-3")}) is None


def test_the_difference_is_told_as_evidence() -> None:
    found = differentiate(causes(), FIXTURE.facts, FIXTURE.symptoms).selected[0]

    assert found.evidence_for[-1] == (
        "pod shop/a against the healthy pod kube-system/dns-1: gateway_arp is silent here and answered there,"
        " host_proxy_arp is no here and yes there"
    )


def test_what_does_not_differ_is_not_told() -> None:
    (cause,) = (one for one in causes() if one.id == "calico-proxy-arp-off")

    assert list(contrast(FIXTURE.facts, cause, B, C)) == []


@pytest.mark.parametrize(
    ("where", "confidence"),
    [("not-followed", "likely"), ("between", "confirmed"), ("on-sender", ""), ("on-receiver", ""), ("elsewhere", "")],
)
@pytest.mark.parametrize("name", ["underlay-blocks-nodes", "fabric-drops-pod-addresses", "overlay-blocked-by-underlay"])
def test_followed_packets_prove_or_refute_that_the_network_between_nodes_takes_them(
    name: str, where: str, confidence: str
) -> None:
    fixture = next(one for one in fixtures() if one.name == name)
    pairs = {str(one): {"traced_loss": where} for one in fixture.facts.subjects(SubjectKind.PAIR)}

    found = differentiate(causes(), table(changed(fixture.values, pairs)), fixture.symptoms)

    named = {one.confidence.value for one in (*found.selected, *found.alternatives) if one.id == name}
    assert named == ({confidence} if confidence else set())
