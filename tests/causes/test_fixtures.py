"""Every cause against the evidence of every fault: its own confirms it, a cleared one rules it out, others do not."""

from functools import cache

import pytest

from bot.causes.cause import Cause
from bot.causes.differential import differentiate
from bot.causes.loading import load_causes
from bot.domain.report import Confidence
from bot.probes.catalogue import FACTS
from bot.rules.source import data_directory
from tests.causes.cluster_facts import FLAVOURS, Fixture, changed, fixtures, healthy, symptom, table

ALL = fixtures()


@cache
def causes() -> tuple[Cause, ...]:
    return load_causes([data_directory() / "causes"], FACTS.values())


def test_every_cause_has_a_fixture() -> None:
    assert {cause.id for cause in causes()} == {one.cause for one in ALL}


@pytest.mark.parametrize("fixture", ALL, ids=repr)
def test_its_own_evidence_leads_to_the_cause(fixture: Fixture) -> None:
    """And to no other, apart from those that are truly there at the same time."""
    found = differentiate(causes(), fixture.facts, fixture.symptoms)

    leading = found.selected[0]
    assert (leading.id, leading.confidence.value) == (fixture.cause, fixture.confidence)
    assert {one.id for one in found.selected} <= {fixture.cause, *fixture.also}
    assert found.unexplained == ()


@pytest.mark.parametrize("fixture", ALL, ids=repr)
def test_contrary_evidence_rules_the_cause_out(fixture: Fixture) -> None:
    found = differentiate(causes(), fixture.cleared, fixture.symptoms)

    standing = {one.id: one.confidence for one in (*found.selected, *found.alternatives)}
    assert standing.get(fixture.cause, Confidence.RULED_OUT) is Confidence.RULED_OUT


@pytest.mark.parametrize("fixture", ALL, ids=repr)
def test_every_look_alike_is_refuted_in_a_sentence(fixture: Fixture) -> None:
    """A confirmed cause says of each look-alike what shows that it is not the one."""
    found = differentiate(causes(), fixture.facts, fixture.symptoms).selected[0]
    cause = next(one for one in causes() if one.id == fixture.cause)

    if found.confidence is Confidence.CONFIRMED:
        assert [one.is_refuted for one in found.likenesses] == [True] * len(cause.look_alikes)
    assert found.evidence_for
    assert not any("{" in sentence or "(not observed)" in sentence for sentence in found.evidence_for)


@pytest.mark.parametrize("fixture", ALL, ids=repr)
def test_without_a_symptom_there_is_no_cause(fixture: Fixture) -> None:
    """However guilty a state looks."""
    found = differentiate(causes(), fixture.facts, ())

    assert found.selected == ()
    assert found.alternatives == ()


@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
def test_a_healthy_cluster_has_no_confirmed_or_likely_cause(flavour: str) -> None:
    """Even when every symptom is claimed of it."""
    claims = (
        "gateway-silent pod shop/a", "pod-isolated pod shop/a", "pod-no-route pod shop/a", "pod-link-down pod shop/a",
        "service-unreachable service shop/s: shop/a>shop/b", "dns-failing cluster: shop/a>kube-system/dns-1",
        "cross-node-unreachable pair node-1>node-2: shop/a>shop/b", "large-packets-lost pair node-1>node-2",
        "outside-unreachable node node-1", "node-unreachable pair node-1>node-2", "pod-without-network pod shop/a",
    )  # fmt: skip
    found = differentiate(causes(), table(healthy(flavour)), [symptom(claim) for claim in claims])

    assert found.selected == ()
    assert len(found.unexplained) == len(claims)


DECOYS = {
    "leftover cni0 and flannel.1": {"node node-1": {"leftovers": ["cni0", "flannel.1"], "conf_files": 2}},
    "arp_ignore alone": {"pod shop/a": {"host_arp_ignore": 8}},
    "strict rp_filter with the route": {"pod shop/a": {"host_rp_filter": 1}, "node node-1": {"uplink_rp_filter": 1}},
    "a zeroconf route": {"node node-1": {"zeroconf_route": True}},
    "proxy_delay without a late answer": {"pod shop/a": {"host_proxy_delay": 80}},
    "a FORWARD policy of DROP that hits nothing": {"node node-1": {"forward_policy": "drop"}},
    "an ARP filter that hits nothing": {"node node-1": {"arp_filtered": True}},
    "a firewalld that hits nothing": {"node node-1": {"host_firewall": "firewalld"}},
    "both iptables backends": {"node node-1": {"iptables_backends": "both"}},
    "a rebooted node": {"node node-1": {"rebooted_recently": True}},
    "a policy that selects the pod and allows": {"pod shop/a": {"policies_ingress": 2, "policies_egress": 2}},
    "a sidecar": {"pod shop/a": {"has_sidecar": True, "firewall_present": True}},
}  # fmt: skip


MISLED = {"calico-proxy-arp-off", "pod-eth0-down", "service-wrong-target-port", "overlay-device-down"}


@pytest.mark.parametrize("decoy", sorted(DECOYS))
@pytest.mark.parametrize("fixture", [one for one in ALL if one.name in MISLED], ids=repr)
def test_a_decoy_does_not_mislead(fixture: Fixture, decoy: str) -> None:
    """A harmless state beside a real fault never becomes the leading cause, nor a second one."""
    facts = table(changed(fixture.values, DECOYS[decoy]))
    found = differentiate(causes(), facts, fixture.symptoms)

    assert [one.id for one in found.selected] == [fixture.cause]
