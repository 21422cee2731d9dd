"""Playbooks as files: everything in them is checked when they are loaded."""

# ruff: noqa: E501
# Tables of whole sentences.

from pathlib import Path

import pytest

from bot.playbooks.loading import build, load_playbooks
from bot.probes.catalogue import PROBES
from bot.rules.problems import RulesError
from bot.rules.source import data_directory, parse

SHIPPED = {path.stem for path in data_directory().glob("*.yaml")}
"""Each is called as its file."""

GOOD = """
name: mine
title: My own
for: Whoever wants to
steps:
  - look: Does the gateway answer?
    probe: pod-arp-table
    expect:
      - about: pod
        where: pod.gateway_kind == "link-local"
        that: pod.gateway_arp == "answered"
        otherwise: the gateway of {pod} is {pod.gateway_arp}
        severity: warn
"""


def problems(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        build(parse(text, "mine.yaml"), PROBES)
    return [str(problem) for problem in caught.value.problems]


def test_the_shipped_playbooks_load() -> None:
    assert {playbook.name for playbook in load_playbooks([data_directory()], PROBES)} == SHIPPED


def test_the_default_playbook_asks_every_probe() -> None:
    """What nobody asks for in particular is inspected as a whole."""
    (namespace,) = (one for one in load_playbooks([data_directory()], PROBES) if one.name == "namespace")

    assert {step.probe for step in namespace.steps} == {probe.name for probe in PROBES}


def test_every_look_can_be_read_aloud() -> None:
    for playbook in load_playbooks([data_directory()], PROBES):
        for step in playbook.steps:
            assert step.look[0].isupper()
            assert step.look[-1] in ".?"


@pytest.mark.parametrize(
    ("wrong", "right", "expected"),
    [
        ("pod-arp-tabel", "pod-arp-table", ["mine.yaml:7: steps.0.probe: there is no probe 'pod-arp-tabel'; did you mean pod-arp-table?"]),
        ("pod.gateway_apr ==", "pod.gateway_arp ==", ["mine.yaml:11: steps.0.expect.0.that: no probe observes pod.gateway_apr; did you mean gateway_arp?"]),
        ('"link-locl"', '"link-local"', ["mine.yaml:10: steps.0.expect.0.where: pod.gateway_kind is never 'link-locl': it is one of link-local, bridge, node, none; did you mean link-local?"]),
        ("{pod.gateway_rap}", "{pod.gateway_arp}", ["mine.yaml:12: steps.0.expect.0.otherwise: no probe observes pod.gateway_rap; did you mean gateway_arp?"]),
        ("severity: wran", "severity: warn", ["mine.yaml:13: steps.0.expect.0.severity: input should be 'fail', 'warn' or 'info'; did you mean warn?"]),
        ("about: pods", "about: pod", ["mine.yaml:9: steps.0.expect.0.about: input should be 'cluster', 'node', 'pod', 'service' or 'pair'; did you mean pod?"]),
        ("tilte: My own", "title: My own", ["mine.yaml:2: title is missing", "mine.yaml:3: tilte: there is no such field; did you mean title?"]),
    ],
)  # fmt: skip
def test_a_mistake_names_its_place_and_the_nearest_right_word(wrong: str, right: str, expected: list[str]) -> None:
    assert problems(GOOD.replace(right, wrong)) == expected


def test_a_users_own_directory_adds_and_may_override(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(GOOD)
    (tmp_path / "dns.yaml").write_text(GOOD.replace("name: mine", "name: dns\noverride: true"))

    found = {playbook.name: playbook for playbook in load_playbooks([data_directory(), tmp_path], PROBES)}
    assert set(found) == SHIPPED | {"mine"}
    assert found["dns"].title == "My own"
