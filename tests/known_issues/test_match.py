"""Known issues against evidence: named only when it carries them, and ruled out in a sentence when it does not."""

# ruff: noqa: E501
# Tables of whole sentences.

from collections.abc import Mapping
from functools import cache

import pytest

from bot.causes.cause import Cause
from bot.causes.differential import differentiate
from bot.causes.loading import load_causes
from bot.domain.facts import FactTable
from bot.domain.report import KnownIssueReport
from bot.known_issues.loading import build, load_known_issues
from bot.known_issues.match import match
from bot.known_issues.schema import KnownIssue
from bot.probes.catalogue import FACTS
from bot.rules.checking import Vocabulary
from bot.rules.problems import RulesError
from bot.rules.source import data_directory, parse
from tests.causes.cluster_facts import Fixture, changed, fixtures, healthy, symptom, table

BY_NAME = {one.name: one for one in fixtures()}


@cache
def causes() -> tuple[Cause, ...]:
    return load_causes([data_directory() / "causes"], FACTS.values())


@cache
def issues() -> tuple[KnownIssue, ...]:
    return load_known_issues([data_directory() / "known-issues"], FACTS.values(), causes())


def matched(fixture: Fixture, facts: FactTable | None = None) -> dict[str, KnownIssueReport]:
    table_ = facts or fixture.facts
    return {one.id: one for one in match(issues(), table_, differentiate(causes(), table_, fixture.symptoms))}


def variant(name: str, changes: Mapping[str, Mapping[str, object]]) -> tuple[Fixture, FactTable]:
    fixture = BY_NAME[name]
    return fixture, table(changed(fixture.values, changes))


def test_every_record_has_its_references() -> None:
    assert len(issues()) >= 70
    assert all(issue.references for issue in issues())


def test_8689_matches_the_transient_case_only() -> None:
    """The founding story: a permanently silent gateway was taken for this issue."""
    young = matched(BY_NAME["calico-gateway-late-after-start"])["calico-8689"]
    assert young.match == "matches"
    assert "the pod shop/a is only 21 s old" in young.why
    assert young.references == ("projectcalico/calico#8689",)


@pytest.mark.parametrize(
    "name",
    ["calico-proxy-arp-off", "node-default-route-missing", "node-forwarding-off", "policy-rule-captures-pods",
     "pod-route-missing-strict-rp-filter", "arp-filtered", "host-link-noarp", "host-veth-down"],
)  # fmt: skip
def test_a_permanently_silent_gateway_is_told_apart_from_8689_in_one_sentence(name: str) -> None:
    found = matched(BY_NAME[name])["calico-8689"]

    assert found.match == "ruled_out"
    assert len(found.why) == 1
    assert "heals by itself in a pod's first minute" in found.why[0]


def test_8689_is_not_spoken_of_where_no_gateway_is_silent() -> None:
    for name in ("service-wrong-target-port", "dns-down", "overlay-device-down"):
        assert "calico-8689" not in matched(BY_NAME[name])


def test_on_another_cni_8689_is_ruled_out_by_that() -> None:
    assert matched(BY_NAME["cni0-down"])["calico-8689"].why == ("the CNI is flannel, and this concerns calico, canal",)


def test_a_missing_default_route_is_calico_3270() -> None:
    found = matched(BY_NAME["node-default-route-missing"])

    assert found["calico-3270"].match == "matches"
    assert found["calico-3270"].why[0] == "its cause is confirmed here: the default route is missing"
    assert "calico-3270" not in matched(BY_NAME["calico-proxy-arp-off"])


def test_an_unknown_version_leaves_an_issue_possible() -> None:
    known = {"cluster": {"cni": "cilium", "cni_version": "1.19.2", "encapsulation": "wireguard"}}
    fixture, facts = variant("pmtu-black-hole", known)
    assert matched(fixture, facts)["cilium-37919"].match == "matches"

    fixture, facts = variant("pmtu-black-hole", {"cluster": {**known["cluster"], "cni_version": None}})
    found = matched(fixture, facts)["cilium-37919"]
    assert found.match == "possible"
    assert "the CNI version is not known, and it occurs in >=1.19.0 <1.20.0" in found.why

    fixture, facts = variant("pmtu-black-hole", {"cluster": {**known["cluster"], "cni_version": "1.18.2"}})
    assert "cilium-37919" not in matched(fixture, facts)


def test_what_no_probe_sees_is_left_to_a_person() -> None:
    """Whether nodes are VMware machines stands in no fact."""
    fixture, facts = variant("overlay-blocked-by-underlay", {f"node node-{n}": {"overlay_port": 8472} for n in (1, 2)})
    found = matched(fixture, facts)["flannel-2388"]

    assert found.match == "possible"
    assert "to be checked: the nodes run on VMware, with NSX or ESXi 8" in found.why


def test_healthy_clusters_have_no_known_issue() -> None:
    facts = BY_NAME["calico-proxy-arp-off"].facts

    assert match(issues(), facts, differentiate(causes(), facts, ())) == ()


def test_what_matches_comes_first() -> None:
    for fixture in BY_NAME.values():
        order = [one.match for one in matched(fixture).values()]
        assert order == sorted(order, key=["matches", "possible", "ruled_out"].index)


UNEXPLAINED = "service-unreachable service shop/s: shop/a>shop/b"


@pytest.mark.parametrize(
    ("issue", "claim", "changes"),
    [
        ("calico-11099", "pod-isolated pod shop/a", {"cluster": {"cni_version": "3.30.1"}, "pod shop/a": {"node_reaches_pod": "timeout"}}),
        ("calico-12920", UNEXPLAINED, {"node node-1": {"leftovers": ["FLANNEL-POSTRTG"]}}),
        ("calico-4679", UNEXPLAINED, {"service shop/s": {"reach": "timeout", "policies_ingress": 1}, "cluster": {"masquerades_all": True}}),
        ("calico-4915", "pod-isolated pod shop/a", {"pod shop/a": {"reach_own_node": "timeout"}}),
        ("calico-9706", "pod-isolated pod shop/a", {"pod shop/a": {"reach_own_node": "timeout", "is_young": True, "age_s": 9.0}}),
        ("calico-4186", "gateway-silent pod shop/a", {"pod shop/a": {"gateway_arp": "silent"}, "node node-1": {"gateway_silent": "some"}}),
        ("cilium-13040", "dns-failing cluster", {"cluster": {"cni": "cilium", "proxy": "ebpf", "dns_service_state": "timeout", "has_node_local_dns": True}}),
        ("cilium-43080", "dns-failing cluster", {"cluster": {"cni": "cilium", "cni_version": "1.18.1", "has_node_local_dns": True}}),
        ("k8s-81775", UNEXPLAINED, {"cluster": {"proxy": "ipvs"}, "service shop/s": {"reach": "mixed"}}),
        ("multus-972", "pod-without-network pod shop/a", {"cluster": {"cni": "cilium"}, "pod shop/a": {"extra_networks": True}}),
        ("seldon-core-4699", UNEXPLAINED, {"service shop/s": {"reach": "mixed", "selector": "control-plane=seldon-scheduler"}}),
    ],
)  # fmt: skip
def test_an_issue_without_a_cause_comes_up_only_when_nothing_explains_the_symptom(
    issue: str, claim: str, changes: Mapping[str, Mapping[str, object]]
) -> None:
    facts = table(changed(healthy(), changes))
    found = {one.id: one for one in match(issues(), facts, differentiate(causes(), facts, [symptom(claim)]))}

    assert found[issue].match in {"matches", "possible"}
    assert issue not in matched(BY_NAME["service-wrong-target-port"])


RECORD = """
id: mine-1
title: Our own incident
references: [{repo: us/ours, number: 1}]
about: pod
causes: [calico-proxy-arp-off]
matches_when:
  - that: pod.gateway_arp == "silent"
    says: the gateway is silent
versions: {cni: ">=3.0.0"}
mechanism: Somebody ran a role.
workaround:
  - {risk: r0, does: Wait for it}
confidence: anecdotal
"""


@pytest.mark.parametrize(
    ("wrong", "right", "expected"),
    [
        ("calico-proxy-arp-of]", "calico-proxy-arp-off]", "mine.yaml:6: causes.0: there is no cause 'calico-proxy-arp-of'; did you mean calico-proxy-arp-off?"),
        ('"slient"', '"silent"', "mine.yaml:8: matches_when.0.that: pod.gateway_arp is never 'slient': it is one of answered, late, partial, silent; did you mean silent?"),
        ('">= three"', '">=3.0.0"', 'mine.yaml:10: versions.cni: \'>= three\' is no version range: write for example ">=3.29.0 <3.29.7 || >=3.30.0 <3.30.4"'),
        ("confidence: sure", "confidence: anecdotal", "mine.yaml:14: confidence: input should be 'confirmed-by-maintainer', 'reported-with-evidence' or 'anecdotal'"),
        ("repo: ours,", "repo: us/ours,", "mine.yaml:4: references.0.repo: string should match pattern '^[\\w.-]+/[\\w.-]+$'"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_record_is_found_when_loaded(wrong: str, right: str, expected: str) -> None:
    known = frozenset(cause.id for cause in causes())
    with pytest.raises(RulesError) as caught:
        build(parse(RECORD.replace(right, wrong), "mine.yaml"), Vocabulary(FACTS.values()), known)

    assert str(caught.value) == expected


def test_records_of_ones_own_match_too() -> None:
    record = build(parse(RECORD, "mine.yaml"), Vocabulary(FACTS.values()), frozenset({"calico-proxy-arp-off"}))
    fixture = BY_NAME["calico-proxy-arp-off"]
    (found,) = match([record], fixture.facts, differentiate(causes(), fixture.facts, fixture.symptoms))

    assert found.match == "matches"
    assert found.why == (
        "its cause is confirmed here: proxy ARP is off",
        "the CNI version 3.28.2 is in >=3.0.0",
        "the gateway is silent",
    )
