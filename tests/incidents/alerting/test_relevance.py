"""That a fault is an alert's reason must be shown."""

import dataclasses

import pytest

from bot.domain.report import BlastRadius, Coverage, Report, ReportScope, Verdict
from bot.incidents.alerting.relevance import Relevance, relevance

HIT = BlastRadius(nodes=("node-2",), pods=2, pod_names=("shop/web-0", "shop/api-7d9f-x2x7p"), services=("shop/api",))
REPORT = Report(
    scope=ReportScope(cluster="lab", namespace="shop"),
    started_at="2026-11-29T23:31:02Z",
    took_s=1.0,
    verdict=Verdict(status="broken", cause="calico-proxy-arp-off", confidence="confirmed"),
    blast_radius=HIT,
    coverage=Coverage(access="agent", nodes_observed=3, nodes_total=3, pods_observed=9, pods_total=9),
)


@pytest.mark.parametrize(
    ("subject", "found"),
    [
        ("pod shop/web-0", "explained"),
        ("pod shop/web-00", "unexplained"),
        ("pod other/web-0", "unexplained"),
        ("deployment shop/api", "explained"),
        ("deployment shop/ap", "unexplained"),
        ("statefulset shop/web", "explained"),
        ("service shop/api", "explained"),
        ("service shop/web", "unexplained"),
        ("node node-2", "explained"),
        ("node node-1", "unexplained"),
        ("namespace shop", "explained"),
        ("namespace sho", "unexplained"),
        ("", "undecided"),
    ],
)
def test_what_a_fault_has_to_do_with_an_alert(subject: str, found: Relevance) -> None:
    assert relevance(REPORT, subject) == found


@pytest.mark.parametrize("subject", ["pod shop/other", "namespace other", "deployment shop/other"])
def test_of_more_pods_than_are_named_none_is_said_to_be_spared(subject: str) -> None:
    many = dataclasses.replace(REPORT, blast_radius=dataclasses.replace(HIT, pods=500))

    assert relevance(many, subject) == "undecided"
