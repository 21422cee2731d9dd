"""Lists in sentences: the one way in which they are cut."""

from collections.abc import Sequence


def and_more(items: Sequence[object], most: int, *, beyond: int = 0, by: str = ", ") -> str:
    """The first items, and how many more there are: "a, b and 7 more"; "" for none.

    `beyond` counts items that exist and are not in `items`.
    """
    shown = by.join(str(each) for each in items[:most])
    return " ".join(filter(None, (shown, left_out(max(len(items) - most, 0) + beyond))))


def counted(number: int, noun: str) -> str:
    """The number with its noun: "1 pod", "8 pods"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def left_out(count: int, noun: str = "") -> str:
    """What a list does not show: "and 7 more", "and 7 more fields"; "" for none."""
    return f"and {count} more {noun}".rstrip() if count > 0 else ""
