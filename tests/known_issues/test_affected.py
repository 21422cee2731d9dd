"""Which known issues a cluster's versions lie in."""

from functools import cache

import pytest

from bot.diagnosis.knowledge import load_knowledge
from bot.domain.software import Software
from bot.known_issues.affected import by_version
from bot.known_issues.loading import build
from bot.known_issues.schema import KnownIssue
from bot.probes.catalogue import FACTS
from bot.rules.checking import Vocabulary
from bot.rules.source import parse

NEEDS_A_KERNEL = """
id: mine-1
title: Needs an old kernel, too
references: []
about: cluster
symptoms: [gateway-silent]
cnis: [calico]
versions: {cni: ">=3.30.0 <3.31.0", kernel: "<6.1"}
mechanism: It takes both.
confidence: anecdotal
"""


@cache
def issues() -> tuple[KnownIssue, ...]:
    return load_knowledge().known_issues


@pytest.mark.parametrize(
    ("cni", "version", "found"),
    [
        ("calico", "3.30.3", "affected"),
        ("canal", "3.30.3", "affected"),
        ("calico", "3.30.4", "not affected"),
        ("cilium", "3.30.3", "not affected"),
        ("calico", "", "not known"),
    ],
)
def test_an_issue_of_some_versions_is_found_by_its_cni_and_range(cni: str, version: str, found: str) -> None:
    known = by_version(issues(), Software(cni=cni, cni_version=version)).get("calico-11099")

    assert {True: "affected", False: "not known", None: "not affected"}[known] == found


def test_an_issue_that_names_no_versions_of_the_cni_is_not_brought_up() -> None:
    """It would be in every cluster."""
    every = {issue.id: issue for issue in issues()}
    found = by_version(issues(), Software(cni="calico", cni_version="3.30.3", kubernetes="v1.36.2", kernels=("6.1.0",)))

    assert all("cni" in every[name].versions for name in found)


@pytest.mark.parametrize(
    ("kernels", "found"),
    [
        (("5.15.0-139-generic",), {"mine-1": True}),
        (("6.8.0", "5.15.0"), {"mine-1": True}),
        (("6.8.0",), {}),
        ((), {"mine-1": False}),
    ],
)
def test_every_component_counts(kernels: tuple[str, ...], found: dict[str, bool]) -> None:
    mine = build(parse(NEEDS_A_KERNEL, "mine.yaml"), Vocabulary(FACTS.values()), frozenset())

    assert by_version([mine], Software(cni="calico", cni_version="3.30.1", kernels=kernels)) == found
