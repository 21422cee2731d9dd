"""How a list is cut."""

import pytest

from bot.domain.listing import and_more


@pytest.mark.parametrize(
    ("items", "said"),
    [
        ((), ""),
        (("a",), "a"),
        (("a", "b"), "a, b"),
        (("a", "b", "c"), "a, b and 1 more"),
        ((1, 2, 3, 4), "1, 2 and 2 more"),
    ],
)
def test_a_list_is_cut_and_says_so(items: tuple[object, ...], said: str) -> None:
    assert and_more(items, 2) == said


def test_items_with_commas_are_kept_apart() -> None:
    assert and_more(("a, b", "c", "d"), 2, by="; ") == "a, b; c and 1 more"
