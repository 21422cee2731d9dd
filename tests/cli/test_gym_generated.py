"""`cnibot lab gym --generated`: when a drawn sample fails a run, and what a seed explains."""

from dataclasses import replace

import pytest
from typer.testing import CliRunner

from bot.cli.gym_generated import problems, result_line
from bot.domain.facts import Rung
from bot.gym.generated.generate import scenario
from bot.gym.generated.outcome import Outcome, Result, skipped

ONE = replace(skipped(scenario(1, "calico-vxlan"), "no effect"), rung=str(Rung.AGENT))


def results(right: int, refused: int = 0) -> list[Result]:
    return [
        *[replace(ONE, outcome="right")] * right,
        *[replace(ONE, outcome="not done", summary="nft: refused")] * refused,
    ]


@pytest.mark.parametrize("missed", ["right", "partly", "honest", "vague", "misled", "quiet", "unsure", "no effect"])
def test_what_was_left_open_fails_no_run(missed: Outcome) -> None:
    assert problems([replace(ONE, outcome=missed)] * 18) == []


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        ("wrong-confirmed", "confirmed what nobody did (node-down)"),
        ("alarm", "blamed something though nothing was broken (node-down)"),
        ("healthy", "called healthy what was broken (node-down)"),
    ],
)
def test_one_false_verdict_fails_a_run(outcome: Outcome, said: str) -> None:
    false = replace(ONE, outcome=outcome, cause="node-down")

    assert problems([*results(17), false]) == [f"calico-vxlan/1, rung agent: {said}"]


def test_a_run_fails_when_the_lab_refuses_most() -> None:
    assert problems(results(12, refused=6)) == []
    (said,) = problems(results(10, refused=8))

    assert said == "the gym is broken: 8 of 18 scenarios were not done (nft: refused)"


def test_a_line_tells_what_was_done_and_what_was_said() -> None:
    wrong = replace(ONE, outcome="wrong-confirmed", status="broken", cause="node-down", wrong=("node-down",))

    assert result_line(wrong).startswith("calico-vxlan/1 wrong-confirmed: ")
    assert result_line(wrong).endswith("WRONG AND CONFIRMED: node-down")


@pytest.mark.parametrize("seed", ["calico-vxlan/17", "17"])
def test_explain_needs_no_lab(seed: str) -> None:
    from bot.cli.gym import gym  # noqa: PLC0415
    from bot.lab.cluster.commands import app  # noqa: PLC0415 the lab is an extra

    app.command("gym")(gym)
    done = CliRunner().invoke(app, ["gym", "--explain", seed])

    assert done.exit_code == 0, done.output
    assert "# calico-vxlan/17: " in done.output
    assert ("# flannel-vxlan/17: " in done.output) == ("/" not in seed)


def test_resuming_needs_a_file() -> None:
    from bot.cli.gym import gym  # noqa: PLC0415
    from bot.lab.cluster.commands import app  # noqa: PLC0415 the lab is an extra

    app.command("gym")(gym)
    done = CliRunner().invoke(app, ["gym", "--generated", "1", "--resume"])

    assert done.exit_code == 2
