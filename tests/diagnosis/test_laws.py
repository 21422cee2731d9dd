"""Laws of judging, held against recordings of healthy clusters from which reads are taken away."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given, settings

from bot.diagnosis.judge import judge
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.diagnosis.recording import load
from bot.domain.report import ApiRead, Report, Unobserved
from bot.probes.catalogue import PROBES
from bot.probes.engine.evidence import Evidence
from tests.probes.build import unread

RECORDINGS = Path(__file__).parents[1] / "recordings"
HEALTHY = ("bridge-healthy-shop", "flannel-healthy-shop", "cilium-healthy-ladder-cured")
HERE = "{namespace}"
READS: dict[ApiRead, tuple[str, ...]] = {
    ApiRead(plural="pods", namespace=HERE): ("pods",),
    ApiRead(plural="nodes"): ("nodes", "node_pods"),
    ApiRead(plural="services", namespace=HERE): ("services",),
    ApiRead(plural="endpointslices", group="discovery.k8s.io", namespace=HERE): ("endpoint_slices",),
    ApiRead(plural="networkpolicies", group="networking.k8s.io"): ("network_policies",),
    ApiRead(plural="daemonsets", group="apps"): ("daemon_sets",),
    ApiRead(plural="deployments", group="apps", namespace=HERE): ("deployments",),
    ApiRead(plural="replicasets", group="apps", namespace=HERE): ("replica_sets",),
    ApiRead(plural="events", namespace=HERE): ("events",),
    ApiRead(plural="configmaps", namespace="kube-system", name="coredns"): ("config_maps",),
}
"""A failed read, and the fields of the snapshot that stay empty."""


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


@cache
def evidence(name: str) -> Evidence:
    return load(RECORDINGS / f"{name}.json.gz").evidence()


def judged(seen: Evidence) -> Report:
    return judge(seen, knowledge(), playbook="namespace", started_at="", took_s=0.0)


def without(seen: Evidence, reads: frozenset[ApiRead], nodes: frozenset[str]) -> Evidence:
    """The evidence had these reads, and these nodes' reports, failed."""
    space = seen.snapshot.namespace
    gone: dict[str, Any] = {}
    for read in reads:
        for field in READS[read]:
            every = getattr(seen.snapshot, field)
            is_of_one = read.namespace == HERE
            gone[field] = tuple(each for each in every if is_of_one and each.metadata.namespace != space)
    lost = tuple(
        unread(
            read.plural,
            "It is forbidden.",
            group=read.group,
            namespace=read.namespace.format(namespace=space),
            remedy="list it",
        )
        for read in sorted(reads, key=str)
    )
    blind = tuple(
        Unobserved(what=f"node {node}", why="It did not answer.", kind="node", subject=f"node {node}")
        for node in sorted(nodes)
    )
    snapshot = msgspec.structs.replace(seen.snapshot, unobserved=lost, **gone)
    reports = {node: report for node, report in seen.reports.items() if node not in nodes}
    return replace(seen, snapshot=snapshot, reports=reports, unobserved=(*lost, *blind))


@pytest.mark.parametrize("name", HEALTHY)
def test_the_whole_is_healthy(name: str) -> None:
    assert judged(evidence(name)).verdict.status == "healthy"


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_healthy_while_a_needed_flow_was_not_tried(name: str) -> None:
    whole = evidence(name)
    reports = {
        node: replace(report, tests=tuple(one for one in report.tests if not one.name.startswith("shop/web:")))
        for node, report in whole.reports.items()
    }

    found = judged(knowledge().informed(replace(whole, reports=reports))).verdict

    assert found.status == "inconclusive"
    assert "needed connections were not tested" in found.summary
    assert "shop/web" in found.summary


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(HEALTHY),
    st.frozensets(st.sampled_from(tuple(READS))),
    st.frozensets(st.sampled_from(["node-1", "node-2"])),
)
def test_what_was_not_read_is_neither_healthy_nor_a_fault(
    name: str, reads: frozenset[ApiRead], nodes: frozenset[str]
) -> None:
    if not reads and not nodes:
        return
    report = judged(without(evidence(name), reads, nodes))

    assert [finding.sentence for finding in report.findings if finding.severity == "fail"] == []
    assert report.verdict.status == "inconclusive", report.verdict.summary
    assert report.verdict.cause is None


def test_pods_that_may_not_be_listed_are_not_called_absent() -> None:
    report = judged(without(evidence(HEALTHY[0]), frozenset({ApiRead(plural="pods", namespace=HERE)}), frozenset()))

    assert "has no pods" not in report.verdict.summary
    assert "pods" in report.verdict.summary
    assert "forbidden" in report.verdict.summary


@pytest.mark.parametrize("part", ["observe", "judge"])
def test_a_check_that_fails_itself_leaves_nothing_healthy(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object) -> object:
        raise ZeroDivisionError

    broken = replace(PROBES[0], **{part: crash})
    for module in ("bot.diagnosis.judge", "bot.diagnosis.fact_table"):
        monkeypatch.setattr(f"{module}.PROBES", (broken, *PROBES[1:]))
    report = judged(load(RECORDINGS / "flannel-healthy-shop.json.gz").evidence())

    assert report.verdict.status == "inconclusive"
    assert f"The probe {broken.name} itself failed" in report.verdict.summary
