"""The differential as a whole: one cause or two, consequences, what remains open, and its form in the report."""

from dataclasses import replace

import pytest

from bot.causes.differential import differentiate
from bot.domain.cause import Differential
from bot.domain.facts import FactTable, Rung
from bot.domain.report import Confidence
from bot.probes.catalogue import FACTS
from tests.causes.cluster_facts import Facts, Fixture, changed, fixtures, healthy, subject, symptom, table
from tests.causes.test_fixtures import causes

BY_NAME = {one.name: one for one in fixtures()}


def together(first: str, second: str) -> tuple[Facts, Fixture, Fixture]:
    """The evidence of two faults at once."""
    one, other = BY_NAME[first], BY_NAME[second]
    base = healthy(other.flavour)
    values: Facts = {about: dict(of) for about, of in one.values.items()}
    for about, of in other.values.items():
        values[about].update({key: value for key, value in of.items() if base[about].get(key) != value})
    return values, one, other


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("calico-proxy-arp-off", "service-wrong-target-port"),
        ("calico-proxy-arp-off", "overlay-device-down"),
        ("node-default-route-missing", "service-selector-matches-nothing"),
        ("pod-default-route-missing", "network-policy-denies"),
        ("host-veth-down", "service-stale-backend"),
        ("node-forwarding-off", "calico-proxy-arp-off"),
        ("vtep-mac-mismatch", "bridge-port-disabled"),
    ],
)
def test_two_independent_faults_are_reported_as_two(first: str, second: str) -> None:
    values, one, other = together(first, second)
    found = differentiate(causes(), table(values), (*one.symptoms, *other.symptoms))

    assert {one.cause, other.cause} <= {explanation.id for explanation in found.selected}


def test_a_consequence_is_not_reported_beside_its_cause() -> None:
    """Pods without a gateway fail their readiness, and their Service has no endpoint left: that is no second fault."""
    fixture = BY_NAME["node-default-route-missing"]
    gone = {
        "service shop/s": {"ready_endpoints": 0, "unready_selected": 2, "reach": "refused", "unready_why": "network"}
    }
    facts = table(changed(fixture.values, gone))
    claims = (*fixture.symptoms, symptom("service-unreachable service shop/s: shop/a>shop/c, node-1>shop/c"))
    found = differentiate(causes(), facts, claims)

    assert "service-no-ready-endpoints" not in {one.id for one in found.selected}
    assert found.selected[0].id == "node-default-route-missing"
    assert [one.statement().sentence for one in found.consequences] == ["service shop/s: no endpoint is ready"]


@pytest.mark.parametrize("denying", ["network-policy-denies", None])
def test_a_consequence_that_only_a_proven_cause_leaves_in_doubt_follows_from_it(denying: str | None) -> None:
    """The pods of another Service are not ready, and policies deny what these need: that is no second fault."""
    fixture = BY_NAME["network-policy-denies"]
    own = healthy(fixture.flavour)[subject("service shop/s")]
    unready = {"ready_endpoints": 0, "unready_selected": 2, "reach": "refused", "unready_why": "needs-denied"}
    values = dict(fixture.values if denying else healthy(fixture.flavour))
    values[subject("service shop/t")] = {**own, **unready}
    claims = [symptom("service-unreachable service shop/t: shop/a>shop/c, node-1>shop/c")]
    claims += fixture.symptoms if denying else ()
    found = differentiate(causes(), table(values), claims)

    names = ["service-no-ready-endpoints"]
    assert [one.id for one in found.selected] == ([denying] if denying else names)
    assert [one.id for one in found.consequences] == (names if denying else [])


def test_what_follows_from_nothing_known_is_no_consequence() -> None:
    """By itself it is the cause: there is nothing that it follows from."""
    fixture = BY_NAME["service-no-ready-endpoints"]

    assert differentiate(causes(), fixture.facts, fixture.symptoms).consequences == ()


def test_one_cause_on_many_pods_is_one_hypothesis() -> None:
    (only,) = differentiate(
        causes(), BY_NAME["calico-proxy-arp-off-everywhere"].facts, BY_NAME["calico-proxy-arp-off-everywhere"].symptoms
    ).selected

    assert [str(one) for one in only.subjects] == ["pod shop/a", "pod shop/c"]


def test_a_look_alike_that_was_not_looked_at_leaves_a_cause_likely_and_is_named() -> None:
    fixture = BY_NAME["calico-proxy-arp-off"]
    facts = table(changed(fixture.values, {"node node-1": {"arp_filtered": None}}))
    leading = differentiate(causes(), facts, fixture.symptoms).selected[0]

    assert (leading.id, leading.confidence) == ("calico-proxy-arp-off", Confidence.LIKELY)
    assert leading.not_refuted == ("arp-filtered",)
    assert "arp-filtered is not refuted by what was observed" in leading.report().look_alikes
    assert "node.arp_filtered of pod shop/a was not observed" in leading.unobserved


def test_what_was_not_observed_is_asked_for_cheapest_first() -> None:
    fixture = BY_NAME["calico-proxy-arp-off"]
    unseen: dict[str, object] = {"host_proxy_arp": None, "host_forwarding": None, "host_link": None}
    unseen |= {"gateway_oracle": None, "is_young": None}
    no_node: dict[str, object] = {"ip_forward": None}
    facts = table(changed(fixture.values, {"pod shop/a": unseen, "node node-1": no_node}))
    found = differentiate(causes(), facts, fixture.symptoms, FACTS.values())

    assert found.selected == ()
    assert found.confidence == "possible"
    assert {one.kind for one in found.unexplained} == {one.kind for one in fixture.symptoms} - {"pods-not-ready"}
    rungs = [list(Rung).index(one.rung) for one in found.next_observations]
    assert rungs == sorted(rungs)
    asked = {one.fact: one for one in found.next_observations}
    assert "calico-proxy-arp-off" in asked["pod.host_proxy_arp"].decides
    assert "sysctl" in asked["pod.host_proxy_arp"].look


def test_a_cni_without_a_bridge_is_not_suspected_of_one() -> None:
    """Whatever was not observed: nobody looks for cni0 on Calico at 2 a.m."""
    fixture = BY_NAME["calico-proxy-arp-off"]
    unseen: dict[str, object] = {"host_proxy_arp": None, "bridge_isolated": None, "bridge_port": None}
    facts = table(changed(fixture.values, {"pod shop/a": unseen, "node node-1": {"cni0": None, "ip_forward": None}}))
    found = differentiate(causes(), facts, fixture.symptoms, FACTS.values())

    assert found.alternatives
    assert {"cni0-down", "bridge-port-isolated", "bridge-port-disabled"}.isdisjoint(
        one.id for one in found.alternatives
    )


def test_evidence_commands_and_looks_begin_with_the_pods_that_were_asked_about() -> None:
    fixture = BY_NAME["calico-proxy-arp-off"]
    pod_a = next(values for one, values in fixture.values.items() if str(one) == "pod shop/a")
    values = changed(fixture.values, {"pod shop/b": dict(pod_a)})
    symptoms = [symptom("gateway-silent pod shop/a"), symptom("gateway-silent pod shop/b")]
    unseen = changed(values, {"pod shop/a": {"host_proxy_arp": None}, "pod shop/b": {"host_proxy_arp": None}})

    def found(values: Facts) -> Differential:
        plain = table(values)
        asked = replace(plain.relations, asked=frozenset({subject("pod shop/b")}))
        return differentiate(causes(), FactTable(plain.values, relations=asked), symptoms, FACTS.values())

    leading = found(values).selected[0]
    assert [str(one) for one in leading.subjects] == ["pod shop/b", "pod shop/a"]
    assert leading.supporting[0].subjects[0] == "pod shop/b"
    looks = {one.fact: str(one.subject) for one in found(unseen).next_observations}
    assert looks["pod.host_proxy_arp"] == "pod shop/b"


def test_without_any_fitting_cause_the_symptoms_stay_unexplained() -> None:
    found = differentiate(causes(), table(healthy()), [symptom("gateway-silent pod shop/a")])

    assert found.selected == ()
    assert not found.is_settled
    assert [str(one.subject) for one in found.unexplained] == ["pod shop/a"]


def test_consequences_alone_ask_for_a_cause_only_when_nothing_else_failed() -> None:
    only = differentiate(causes(), table(healthy()), [symptom("pods-not-ready pod shop/a")])
    assert [one.kind for one in only.unexplained] == ["pods-not-ready"]

    both = differentiate(
        causes(), table(healthy()), [symptom("pods-not-ready pod shop/a"), symptom("gateway-silent pod shop/c")]
    )
    assert [one.kind for one in both.unexplained] == ["gateway-silent"]


def test_a_ruled_out_look_alike_names_what_excludes_it() -> None:
    fixture = BY_NAME["calico-proxy-arp-off"]
    found = {one.id: one for one in differentiate(causes(), fixture.facts, fixture.symptoms).ruled_out}

    assert "node node-1: node.default_route is present" in found["node-default-route-missing"].evidence_against
    assert "pod shop/a: pod.host_link is up" in found["host-veth-down"].evidence_against


def test_the_explanation_in_a_report() -> None:
    fixture = BY_NAME["calico-proxy-arp-off"]
    report = differentiate(causes(), fixture.facts, fixture.symptoms).selected[0].report()

    assert report.confidence == "confirmed"
    assert report.subjects == ("pod shop/a",)
    assert report.explains == (
        "dns-failing pod shop/a",
        "gateway-silent pod shop/a",
        "pods-not-ready pod shop/a",
        "service-unreachable service shop/s",
    )
    assert any(line.startswith("not node-default-route-missing: ") for line in report.look_alikes)


def test_fixes_are_written_out_for_the_subjects() -> None:
    fixture = BY_NAME["calico-proxy-arp-off"]
    leading = differentiate(causes(), fixture.facts, fixture.symptoms).selected[0]

    assert [fix.risk for fix in leading.fixes] == ["r2", "r2"]
    assert leading.fixes[0].commands == ("sysctl -w net.ipv4.conf.cali0.proxy_arp=1",)
    assert leading.fixes[0].undo == ("sysctl -w net.ipv4.conf.cali0.proxy_arp=0",)
    assert leading.never == "Do not replace the CNI: one sysctl fixes this"


def test_on_the_api_rung_nothing_of_the_node_is_confirmed() -> None:
    """What a rung cannot see it cannot confirm: only the API's own facts are left."""
    for fixture in BY_NAME.values():
        api = {
            about: {key: value for key, value in of.items() if Rung.API in FACTS[f"{about.kind}.{key}"].rungs}
            for about, of in fixture.values.items()
        }
        for one in differentiate(causes(), table(api), fixture.symptoms).selected:
            rungs = next(cause.rungs for cause in causes() if cause.id == one.id)
            assert Rung.API in rungs or one.confidence is not Confidence.CONFIRMED, (fixture.name, one.id)


def test_an_unknown_node_is_no_reason_to_guess() -> None:
    found = differentiate(
        causes(), table({subject("pod other/x"): {"gateway_arp": "silent"}}), [symptom("gateway-silent pod other/x")]
    )

    assert found.selected == ()
