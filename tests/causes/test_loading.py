"""Cause files: every name in them is checked when they are loaded."""

# ruff: noqa: E501
# Tables of whole sentences.

import re
from pathlib import Path

import pytest

from bot.causes.cause import Cause
from bot.causes.loading import build, load_causes
from bot.domain.facts import SubjectKind
from bot.probes.catalogue import FACTS
from bot.rules.checking import Vocabulary
from bot.rules.problems import RulesError
from bot.rules.source import data_directory, parse

GOOD = """
id: mine
taxonomy: [G1]
title: Mine
mechanism: Somebody did it.
subject: pod
hop: gateway
applies: pod.gateway_kind == "link-local"
explains: [gateway-silent]
requires:
  - that: pod.gateway_arp == "silent"
    says: the gateway {pod.gateway_ip} is silent
excludes:
  - that: pod.is_young
    says: the pod is young
look_alikes:
  - cause: host-veth-down
    refuted_when: pod.host_link == "up"
    says: the link of {pod} is up
unobserved: Look at it.
rungs: [agent]
fix:
  - id: first
    risk: r1
    does: Do this on {node}
    commands: ["ip link show {pod.own_dev}"]
    undo: ["ip link show {pod.own_dev}"]
    then: find out why
  - id: second
    risk: r2
    does: Do that
    no_command: a person does it
"""


def problems(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        build(parse(text, "mine.yaml"), Vocabulary(FACTS.values()))
    return [str(problem) for problem in caught.value.problems]


def test_a_cause_is_compiled_as_it_was_written() -> None:
    cause = build(parse(GOOD, "mine.yaml"), Vocabulary(FACTS.values()))

    assert cause.subject is SubjectKind.POD
    assert cause.specificity == 1  # the number of requirements when none is given
    assert cause.references == (
        ("pod", "gateway_kind"),
        ("pod", "gateway_arp"),
        ("pod", "is_young"),
        ("pod", "host_link"),
    )


@pytest.mark.parametrize(
    ("wrong", "right", "expected"),
    [
        ("pod.gateway_knd ==", "pod.gateway_kind ==", "mine.yaml:8: applies: no probe observes pod.gateway_knd; did you mean gateway_kind?"),
        ("[gateway-silnt]", "[gateway-silent]", "mine.yaml:9: explains.0: input should be "),
        ('"slient"', '"silent"', "mine.yaml:11: requires.0.that: pod.gateway_arp is never 'slient': it is one of answered, late, partial, silent; did you mean silent?"),
        ("{pod.gateway_pi}", "{pod.gateway_ip}", "mine.yaml:12: requires.0.says: no probe observes pod.gateway_pi; did you mean gateway_ip?"),
        ("that: pod.is_yung", "that: pod.is_young", "mine.yaml:14: excludes.0.that: no probe observes pod.is_yung; did you mean is_young?"),
        ('refuted_when: pair.mtu == "ok"', 'refuted_when: pod.host_link == "up"', "mine.yaml:18: look_alikes.0.refuted_when: a rule about a pod reads pod, node, cluster, not 'pair'"),
        ("{nod}", "{node}", "mine.yaml:25: fix.0.does: a rule about a pod names pod, node, cluster, not 'nod'; did you mean node?"),
        ("risk: r0\n    does: Do that", "risk: r2\n    does: Do that", "mine.yaml:30: fix.1.risk: r0 after r1: the safest fix comes first"),
        ("", "    no_command: a person does it\n", "mine.yaml:29: fix.1.commands: no command: add one, or say in no_command why there is none"),
        ("commands: [reboot]\n    no_command", "no_command", "mine.yaml:33: fix.1.no_command: there are commands"),
        ("show <device>", "show {pod.own_dev}", "mine.yaml:26: fix.0.commands: nothing fills <device>: name a fact, or say in decide what a person must decide"),
        ("decide: this\n    does", "does", "mine.yaml:25: fix.0.decide: no command has a <placeholder>"),
        ("unobsrved:", "unobserved:", "mine.yaml:2: unobserved is missing"),
        ("id: Mine", "id: mine", "mine.yaml:2: id: string should match pattern"),
    ],
)  # fmt: skip
def test_a_mistake_names_its_place_and_the_nearest_right_word(wrong: str, right: str, expected: str) -> None:
    assert problems(GOOD.replace(right, wrong, 1))[0].startswith(expected)


def test_a_cause_without_any_fix_is_refused() -> None:
    """At 2 a.m. a name alone is half an answer."""
    (problem,) = problems(GOOD.partition("fix:\n")[0])

    assert problem.endswith(": fix: no fix: add one, with commands or with no_command, why there are none")


def test_several_mistakes_come_together() -> None:
    text = GOOD.replace("pod.is_young", "pod.is_yung").replace('"silent"', '"slient"')

    assert [one.split(": ")[1] for one in problems(text)] == ["requires.0.that", "excludes.0.that"]


def test_a_look_alike_must_exist(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD.replace("cause: host-veth-down", "cause: host-vet-down"))

    with pytest.raises(
        RulesError, match=r"look_alikes of mine: no cause 'host-vet-down'; did you mean host-veth-down?"
    ):
        load_causes([data_directory() / "causes", tmp_path], FACTS.values())


def test_a_users_own_cause_joins_the_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    shipped = load_causes([data_directory() / "causes"], FACTS.values())
    found = load_causes([data_directory() / "causes", tmp_path], FACTS.values())

    assert {cause.id for cause in found} - {cause.id for cause in shipped} == {"mine"}


def test_replacing_the_cni_is_never_offered() -> None:
    """A sysctl, a route or a restart cures nearly everything; where it does not, no fix says it either."""
    for cause in load_causes([data_directory() / "causes"], FACTS.values()):
        for fix in cause.fixes:
            words = fix.does.source.lower()
            assert "replace the cni" not in words
            assert "migrate" not in words


def test_the_safest_fix_comes_first_everywhere() -> None:
    for cause in load_causes([data_directory() / "causes"], FACTS.values()):
        risks = [fix.risk for fix in cause.fixes]
        assert risks == sorted(risks)
        assert risks, f"{cause.id} offers no fix"


def test_at_least_ninety_classes_of_the_taxonomy_are_covered() -> None:
    letters = {
        letter for cause in load_causes([data_directory() / "causes"], FACTS.values()) for letter in cause.taxonomy
    }

    assert len(letters) >= 90


def test_a_fix_without_a_place_is_typed_where_the_api_answers() -> None:
    """A Service is on no node: a node's command for it would be typed anywhere."""
    text = GOOD.replace("subject: pod", "subject: cluster").replace("{pod.own_dev}", "eth0")

    assert any("fix.0.commands: a cluster is on no node" in problem for problem in problems(text))


@pytest.mark.parametrize("cause", load_causes([data_directory() / "causes"], FACTS.values()), ids=lambda one: one.id)
def test_every_fix_has_commands_or_says_why_not(cause: Cause) -> None:
    """Checked at load; here by the words that reach a reader."""
    for fix in cause.fixes:
        blanks = [one.source for one in (*fix.commands, *fix.undo) if re.search(r"<\w", one.source)]
        assert bool(fix.commands) is not bool(fix.no_command)
        assert bool(blanks) is bool(fix.decide)
