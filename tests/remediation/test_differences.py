"""Differences: each field that differs, and none that does not."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given
from hypothesis import strategies as st

from bot.remediation.differences import differences

_TEXT = st.text(st.characters(categories=("L",)), max_size=3)
_JSON = st.recursive(
    st.none() | st.integers(0, 3) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
)


def test_containers_and_variables_are_told_by_their_names() -> None:
    before = {"containers": [{"name": "a", "image": "x:1"}, {"name": "b", "image": "y:1"}]}
    after = {"containers": [{"name": "b", "image": "y:2"}, {"name": "c", "image": "z:1"}]}

    assert list(differences(before, after)) == [
        ("containers[a]", {"name": "a", "image": "x:1"}, None),
        ("containers[b].image", "y:1", "y:2"),
        ("containers[c]", None, {"name": "c", "image": "z:1"}),
    ]


def test_ports_without_names_are_told_by_their_place() -> None:
    assert list(differences({"ports": [{"targetPort": 1}]}, {"ports": [{"targetPort": 2}]})) == [
        ("ports[0].targetPort", 1, 2)
    ]


@given(_JSON, _JSON)
def test_there_are_some_exactly_where_two_values_differ(before: Any, after: Any) -> None:
    """An absent field and one that is null are the same to Kubernetes."""

    def bare(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: bare(inner) for key, inner in cast("dict[str, Any]", value).items() if inner is not None}
        return [bare(inner) for inner in cast("list[Any]", value)] if isinstance(value, list) else value

    assert bool(list(differences(before, after))) == (bare(before) != bare(after))
