"""Running a playbook: probes judge in its order, and expectations that do not hold become findings."""

from collections.abc import Sequence

from bot.domain.facts import CLUSTER, FactSpec, FactTable, node, pod
from bot.domain.finding import Finding, Severity
from bot.playbooks.engine import run
from bot.playbooks.loading import build
from bot.playbooks.schema import Playbook
from bot.probes.engine.probe import Probe
from bot.rules.source import parse

A, B, C, N = pod("shop", "a"), pod("shop", "b"), pod("shop", "c"), node("node-1")


def probe(name: str, *facts: FactSpec) -> Probe:
    def judge(table: FactTable) -> Sequence[Finding]:
        return [Finding(probe=name, subject=CLUSTER, severity=Severity.PASS, sentence=f"{name} inspected all")]

    return Probe(name=name, question="?", facts=facts, observe=lambda _evidence, _facts: None, judge=judge)


PROBES = (
    probe("links", FactSpec(name="pod.delay", type="int", doc=""), FactSpec(name="pod.kind", type="str", doc="")),
    probe("nodes", FactSpec(name="node.is_ready", type="bool", doc="")),
)


def playbook(severity: str = "warn") -> Playbook:
    text = f"""
name: mine
title: Mine
for: me and you
steps:
  - look: First the nodes.
    probe: nodes
  - look: Then the links.
    probe: links
    expect:
      - about: pod
        where: pod.kind == "calico"
        that: pod.delay == 0
        otherwise: "{{pod}} answers late ({{pod.delay}})"
        severity: {severity}
  - look: And the nodes again.
    probe: nodes
"""
    return build(parse(text, "mine.yaml"), PROBES)


def facts() -> FactTable:
    return FactTable(
        values={A: {"delay": 80, "kind": "calico"}, B: {"delay": 80, "kind": "lxc"}, C: {"kind": "calico"}, N: {}},
        unobserved={C: {"delay": "the agent gave no report"}},
    )


def test_probes_are_judged_once_in_the_playbooks_order() -> None:
    findings = run(playbook(), PROBES, facts())

    assert [one.probe for one in findings] == ["nodes", "links", "links", "links"]


def test_an_unmet_expectation_says_its_sentence_with_the_evidence() -> None:
    (unmet,) = (one for one in run(playbook(), PROBES, facts()) if one.severity is Severity.WARN)

    assert unmet.subject == A
    assert unmet.sentence == "shop/a answers late (80)"
    assert unmet.evidence == {"pod.delay": 80}


def test_what_was_not_observed_is_inconclusive_and_says_what_and_why() -> None:
    (unknown,) = (one for one in run(playbook(), PROBES, facts()) if one.severity is Severity.INCONCLUSIVE)

    assert unknown.subject == C
    assert unknown.sentence == "pod.delay (the agent gave no report) was not observed for pod shop/c."


def test_what_would_only_be_a_remark_is_left_out_when_it_is_not_known() -> None:
    severities = [one.severity for one in run(playbook("info"), PROBES, facts())]

    assert severities == [Severity.PASS, Severity.PASS, Severity.INFO]
