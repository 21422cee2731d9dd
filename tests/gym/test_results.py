"""The gym's figures on disk: kept after each case, gone on with, refused when they are something else."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import ConfigurationError
from bot.domain.facts import Rung
from bot.gym.cases import Case, GymFault
from bot.gym.results import Machine, Results, in_days, left, load, save
from bot.gym.score import Score

PROXY_ARP = GymFault(id="a", letter="G1", cnis=("calico-vxlan",), scope="node", cause="calico-proxy-arp-off")
MACHINE = Machine(cpus=2, kernel="6.1", python="3.11")


def score(case: str, rung: str = "agent") -> Score:
    return Score(
        case=case,
        kind="single",
        cni="calico-vxlan",
        expected=("calico-proxy-arp-off",),
        rung=rung,
        verdict="calico-proxy-arp-off",
        status="broken",
        confidence="confirmed",
        is_top1=True,
        is_complete=True,
        is_hop_right=True,
        is_overclaimed=False,
        look_alikes=3,
        look_alikes_refuted=3,
        wrong_known_issues=(),
        took_s=2.25,
        exec_calls=3,
    )


def test_figures_come_back_as_they_were_written(tmp_path: Path) -> None:
    for scores in ((), (score("a"),), (score("a", "api"), score("a"))):
        results = Results(command="cnibot lab gym", machine=MACHINE, scores=scores)
        save(tmp_path / "figures.json", results)

        assert load(tmp_path / "figures.json") == results


def test_something_else_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")

    with pytest.raises(ConfigurationError, match=r"other\.json"):
        load(path)


CASES = (
    Case(kind="single", cni="calico-vxlan", faults=(PROXY_ARP,), nodes=("",)),
    Case(kind="pair", cni="calico-vxlan", faults=(PROXY_ARP, PROXY_ARP), nodes=("", "")),
    Case(kind="healthy", cni="calico-vxlan", runs=4),
)


@given(
    cases=st.lists(st.sampled_from(CASES), max_size=8),
    cut=st.integers(0, 8),
    rungs=st.lists(st.sampled_from(list(Rung)), min_size=1, unique=True),
)
def test_what_is_left_and_what_was_done_are_all_cases(cases: list[Case], cut: int, rungs: list[Rung]) -> None:
    done = [score(case.id, rung) for case in cases[:cut] for rung in case.diagnoses(rungs)]
    undone = left(cases, rungs, Results(command="", machine=MACHINE, scores=tuple(done)))

    assert Counter(case.id for case in undone) == Counter(case.id for case in cases) - Counter(
        case.id for case in cases[:cut]
    )


def test_figures_say_on_which_days_they_were_taken() -> None:
    assert in_days(["2026-11-30", "2026-11-23", "2026-11-30", ""]) == (
        "a day not noted (1) and 2026-11-23 (1) and 2026-11-30 (2)"
    )
