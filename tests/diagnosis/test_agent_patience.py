"""How long the report of a node agent is awaited."""

import pytest

from bot.diagnosis.node_reports import agent_patience_s


@pytest.mark.parametrize(
    ("tests_s", "left_s", "patience_s"),
    [
        (8.0, 20.0, 12.0),  # its tests, and a little to start and to print
        (8.0, 100.0, 50.0),  # a busy node starts it slowly: time that is there is given
        (8.0, 5.0, 5.0),  # never longer than the diagnosis
    ],
)
def test_an_agent_is_awaited_as_long_as_a_lower_rung_still_has_its_half(
    tests_s: float, left_s: float, patience_s: float
) -> None:
    assert agent_patience_s(tests_s, left_s) == patience_s
