"""No probe trips over what a report lacks, and no judgement over what facts lack.

Reports come from nodes that may be broken in any way; facts may be any subset of those declared. A probe that raises
takes the diagnosis of everybody with it.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bot.agent.report import NetnsState, NodeReport, Outcome, PodReport, Purpose
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactSpec, FactTable, Relations, Rung, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity
from bot.probes.catalogue import FACTS, PROBES
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.probe import Probe
from tests.probes.build import FakeCluster, Kind

PATIENT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

NODES = ("node-1", "node-2", "node-3")
PODS = tuple(facts.pod("shop", f"p{number}") for number in range(6))
SUBJECTS: dict[SubjectKind, tuple[Subject, ...]] = {
    SubjectKind.CLUSTER: (facts.CLUSTER,),
    SubjectKind.NODE: tuple(facts.node(name) for name in NODES),
    SubjectKind.POD: PODS,
    SubjectKind.SERVICE: (facts.service("shop", "front"), facts.service("kube-system", "kube-dns")),
    SubjectKind.PAIR: tuple(facts.pair(a, b) for a in NODES for b in NODES if a != b),
}
RELATIONS = Relations(node_of_pod={pod: facts.node(NODES[i % 3]) for i, pod in enumerate(PODS[:-1])})
"""The last pod has no node: not scheduled, or gone."""


NODE_PURPOSES: tuple[Purpose, ...] = ("node",)
POD_PURPOSES: tuple[Purpose, ...] = ("local-pod", "remote-pod")
OUTCOMES: tuple[Outcome, ...] = ("ok", "timeout", "EHOSTUNREACH", "ECONNREFUSED", "skipped", "error")
KINDS: tuple[Kind, ...] = ("calico", "flannel", "cilium")


def a_value(spec: FactSpec) -> st.SearchStrategy[Value]:
    """Any value that a fact can have."""
    one: st.SearchStrategy[Any]
    match spec.type:
        case "bool":
            one = st.booleans()
        case "int":
            one = st.integers(-1, 10)
        case "float":
            one = st.floats(0, 1e6, allow_nan=False) | st.integers(0, 5)
        case "str":
            one = st.sampled_from(spec.values) if spec.values else st.text(max_size=12)
        case "list":
            each = st.sampled_from(spec.values) if spec.values else st.text(max_size=12)
            one = st.lists(each, max_size=3).map(tuple)
    return one


@st.composite
def fact_tables(draw: st.DrawFn) -> FactTable:
    """Any subset of the declared facts, observed or not, of a few subjects."""
    builder = FactBuilder(FACTS.values())
    for spec in draw(st.lists(st.sampled_from(sorted(FACTS.values(), key=lambda each: each.name)), max_size=40)):
        for subject in draw(st.lists(st.sampled_from(SUBJECTS[spec.kind]), max_size=4)):
            if draw(st.booleans()):
                builder.set(subject, spec.key, draw(a_value(spec)))
            else:
                builder.miss(subject, spec.key, draw(st.sampled_from(["not inspected", "partial report."])))
    return builder.build(draw(st.sampled_from([RELATIONS, Relations()])))


def check(findings: Sequence[Finding], probe: Probe) -> None:
    for each in findings:
        assert each.probe == probe.name
        assert each.sentence.endswith(".")
        assert each.symptom is None or each.severity in {Severity.FAIL, Severity.WARN}
        assert each.severity is not Severity.FAIL or each.symptom is not None


@PATIENT
@given(table=fact_tables())
def test_judgement_takes_any_facts(table: FactTable) -> None:
    for probe in PROBES:
        check(probe.judge(table), probe)


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.name)
def test_where_nothing_is_known_nothing_passes(probe: Probe) -> None:
    """Only evidence earns PASS."""
    builder = FactBuilder(FACTS.values())
    for subjects in SUBJECTS.values():
        for subject in subjects:
            builder.subject(subject)

    severities = {each.severity for each in probe.judge(builder.build(RELATIONS))}

    assert severities <= {Severity.INCONCLUSIVE, Severity.INFO}


def _emptied(value: Any, draw: st.DrawFn, kept: frozenset[str]) -> Any:
    """The value with some of its fields put back to their defaults, some lists cut short; what has none stays."""
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(value):
        if field.name in kept or draw(st.integers(0, 3)):
            continue
        if field.default is not dataclasses.MISSING:
            changes[field.name] = field.default
        elif field.default_factory is not dataclasses.MISSING:
            changes[field.name] = field.default_factory()
    return dataclasses.replace(value, **changes)


def _without_some(state: NetnsState, draw: st.DrawFn) -> NetnsState:
    state = _emptied(state, draw, frozenset())
    keys = [key for key in state.sysctls if draw(st.booleans())]
    links = tuple(_emptied(link, draw, frozenset({"name"})) for link in state.links if draw(st.integers(0, 4)))
    return dataclasses.replace(state, sysctls={key: state.sysctls[key] for key in keys}, links=links)


def _pod(report: PodReport, draw: st.DrawFn) -> PodReport:
    report = _emptied(report, draw, frozenset({"uid", "namespace", "name"}))
    return dataclasses.replace(report, state=_without_some(report.state, draw) if report.state else None)


@st.composite
def torn_evidence(draw: st.DrawFn) -> Evidence:
    """A cluster of which any part may not have been seen."""
    cluster = FakeCluster(draw(st.sampled_from(KINDS)))
    for name in NODES:
        cluster.node(name, is_ready=draw(st.booleans()))
    pods = [cluster.pod(f"shop/p{i}", NODES[i % 3], ip=draw(st.sampled_from(["", "10.42.9.9"]))) for i in range(5)]
    for source in (*pods[:3], facts.node("node-1")):
        for target in (*pods, facts.node("node-2")):
            if source != target:
                purpose = draw(st.sampled_from(NODE_PURPOSES if target.kind is SubjectKind.NODE else POD_PURPOSES))
                outcome = draw(st.sampled_from(OUTCOMES))
                cluster.test(
                    source, purpose, to=target, outcome=outcome, latency_ms=draw(st.sampled_from([0.1, 3100.0]))
                )
    if draw(st.booleans()):
        cluster.unseen("node-3", "the agent did not start")
    cluster.rungs = {name: draw(st.sampled_from(list(Rung))) for name in cluster.roots}
    evidence = cluster.evidence()
    reports = {name: _report(report, draw) for name, report in evidence.reports.items()}
    torn = dataclasses.replace(evidence, reports=reports)
    vars(torn)["cni"] = evidence.cni
    return torn


def _report(report: NodeReport, draw: st.DrawFn) -> NodeReport:
    report = _emptied(report, draw, frozenset({"node"}))
    return dataclasses.replace(
        report, root=_without_some(report.root, draw), pods=tuple(_pod(each, draw) for each in report.pods)
    )


@PATIENT
@given(evidence=torn_evidence())
def test_observation_takes_any_report_and_judgement_what_it_saw(evidence: Evidence) -> None:
    builder = FactBuilder(FACTS.values())
    for probe in PROBES:
        probe.observe(evidence, builder)
    known = builder.build(evidence.relations)
    for probe in PROBES:
        check(probe.judge(known), probe)


@settings(PATIENT, max_examples=10)
@given(evidence=torn_evidence())
def test_the_same_evidence_is_judged_alike(evidence: Evidence) -> None:
    first, second = FactBuilder(FACTS.values()), FactBuilder(FACTS.values())
    turned = dataclasses.replace(evidence, reports=dict(reversed(list(evidence.reports.items()))))
    vars(turned)["cni"] = evidence.cni
    for probe in PROBES:
        probe.observe(evidence, first)
        probe.observe(turned, second)
    known, again = first.build(evidence.relations), second.build(evidence.relations)

    assert known.values == again.values
    assert [probe.judge(known) for probe in PROBES] == [probe.judge(again) for probe in PROBES]
