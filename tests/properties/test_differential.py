"""What must hold of every differential: order does not matter, ignorance never makes surer, health never accuses."""

from collections.abc import Mapping
from functools import cache
from random import Random

import hypothesis.strategies as st
from hypothesis import given, settings

from bot.causes.cause import Cause
from bot.causes.differential import differentiate
from bot.causes.judging import STRENGTH, judge
from bot.causes.loading import load_causes
from bot.domain.facts import VARIABLES, FactTable, Relations, Subject, pod
from bot.domain.report import Confidence
from bot.probes.catalogue import FACTS
from bot.rules.expression import lookup_for
from bot.rules.source import data_directory
from tests.causes.cluster_facts import POD, Facts, Fixture, fixtures, healthy, relations, table

ALL = fixtures()


@cache
def causes() -> tuple[Cause, ...]:
    return load_causes([data_directory() / "causes"], FACTS.values())


CONSEQUENCES = frozenset(cause.id for cause in causes() if cause.is_consequence)


def shuffled(values: Facts, seed: int) -> FactTable:
    """The same facts, put together in another order."""
    random = Random(seed)
    subjects = list(values)
    random.shuffle(subjects)
    mixed: Facts = {}
    for subject in subjects:
        items = list(values[subject].items())
        random.shuffle(items)
        mixed[subject] = dict(items)
    return table(mixed)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ALL), st.integers(0, 10_000))
def test_the_order_of_facts_causes_and_symptoms_does_not_matter(fixture: Fixture, seed: int) -> None:
    random = Random(seed)
    mixed_causes, mixed_symptoms = list(causes()), list(fixture.symptoms)
    random.shuffle(mixed_causes)
    random.shuffle(mixed_symptoms)

    expected = differentiate(causes(), fixture.facts, fixture.symptoms)
    assert differentiate(mixed_causes, shuffled(fixture.values, seed), mixed_symptoms) == expected


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(ALL), st.data())
def test_an_observation_less_never_makes_a_cause_surer(fixture: Fixture, data: st.DataObject) -> None:
    """What it ruled out may become possible again, and no more than that."""
    subject = data.draw(st.sampled_from(sorted(fixture.values)))
    keys = sorted(fixture.values[subject])
    gone = data.draw(st.sampled_from(keys))
    less = table(
        {one: {k: v for k, v in of.items() if (one, k) != (subject, gone)} for one, of in fixture.values.items()}
    )
    for cause in causes():
        for about in (one for one in fixture.values if one.kind is cause.subject):
            before = judge(cause, lookup_for(fixture.facts, about))
            after = judge(cause, lookup_for(less, about))
            assert strength(after.confidence) <= max(strength(before.confidence), STRENGTH[Confidence.POSSIBLE])


def strength(confidence: Confidence | None) -> int:
    return 0 if confidence is None else STRENGTH[confidence]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ALL), st.sampled_from(("node-1", "node-2", "node-3")), st.integers(1, 4))
def test_healthy_pods_beside_a_fault_change_nothing(fixture: Fixture, host: str, count: int) -> None:
    more = {pod("shop", f"healthy-{index}"): dict(POD) for index in range(count)}
    known = relations()
    hosts: Mapping[Subject, Subject] = {**known.node_of_pod, **{one: Subject(one.kind.NODE, host) for one in more}}
    plain = table({**fixture.values, **more})
    facts = FactTable(plain.values, relations=Relations(node_of_pod=hosts, pods_of_service=known.pods_of_service))

    expected = differentiate(causes(), fixture.facts, fixture.symptoms)
    found = differentiate(causes(), facts, fixture.symptoms)
    assert [(one.id, one.confidence, one.subjects) for one in found.selected] == [
        (one.id, one.confidence, one.subjects) for one in expected.selected
    ]


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_of_two_faults_at_once_one_leads_and_all_that_are_named_explain_something(one: Fixture, other: Fixture) -> None:
    """The changes of one fault laid over the evidence of another; they may mask each other, but never confuse."""
    base = healthy(other.flavour)
    values: Facts = {subject: dict(of) for subject, of in one.values.items()}
    for subject, of in other.values.items():
        values[subject].update({key: value for key, value in of.items() if base[subject].get(key) != value})

    found = differentiate(causes(), table(values), (*one.symptoms, *other.symptoms))
    assert all(explanation.explains for explanation in found.selected)
    assert all(explanation.confidence is not Confidence.POSSIBLE for explanation in found.selected)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_nothing_is_confirmed_while_a_symptom_has_no_cause(fixture: Fixture, other: Fixture) -> None:
    """One fault's evidence beside another's symptoms: what nobody explains may be what explains all."""
    found = differentiate(causes(), fixture.facts, (*fixture.symptoms, *other.symptoms))

    if found.unexplained:
        assert all(one.confidence is not Confidence.CONFIRMED for one in found.selected)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ALL), st.sampled_from(ALL))
def test_a_consequence_is_no_root_while_its_pods_lack_something(fixture: Fixture, other: Fixture) -> None:
    found = differentiate(causes(), fixture.facts, (*fixture.symptoms, *other.symptoms))

    lacking = {flow.source for symptom in found.unexplained for flow in symptom.flows}
    behind = fixture.facts.relations.pods_of_service
    for one in found.selected:
        if one.id in CONSEQUENCES:
            assert not lacking & {*one.subjects, *(pod for subject in one.subjects for pod in behind.get(subject, ()))}


def test_who_reaches_whom_is_never_proof() -> None:
    """A cause that requires nothing but reachability says so, and is likely at most."""
    reach = {name for name, spec in FACTS.items() if {"ok", "timeout"} <= set(spec.values)}

    for cause in causes():
        kinds = VARIABLES[cause.subject]
        read = {f"{kinds[variable]}.{key}" for one in cause.requires for variable, key in one.that.references}
        assert cause.is_pattern or not read <= reach, cause.id
