"""The catalogue as a whole: names, documentation, and that no probe trips over what it is given."""

from collections import Counter

from bot.domain.facts import SubjectKind
from bot.probes.catalogue import FACTS, PROBES


def test_no_two_probes_share_a_name_and_no_two_facts_do() -> None:
    probes = Counter(probe.name for probe in PROBES)
    specs = Counter(spec.name for probe in PROBES for spec in probe.facts)

    assert [name for name, times in probes.items() if times > 1] == []
    assert [name for name, times in specs.items() if times > 1] == []
    assert len(FACTS) == len(specs)


def test_each_fact_says_what_it_means_and_how_a_person_would_look() -> None:
    for spec in FACTS.values():
        assert spec.kind in SubjectKind
        assert spec.key
        assert spec.doc.endswith("."), spec.name
        assert spec.look, spec.name
        assert spec.rungs, spec.name
        assert spec.type in {"str", "list"} or not spec.values, spec.name


def test_each_probe_asks_a_question_and_declares_what_it_needs() -> None:
    for probe in PROBES:
        assert probe.question.endswith("?"), probe.name
        assert probe.needs, probe.name
        assert all(need.verb in {"get", "list", "watch"} for need in probe.needs), probe.name
