"""Matchers as Alertmanager writes and understands them."""

import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.alerts.matchers import Matcher, MatcherError, parse_matcher

LABELS = {"alertname": "KubeNodeNotReady", "node": "hive-04", "empty": ""}


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ('alertname="KubeNodeNotReady"', "holds"),
        ("alertname=KubeNodeNotReady", "holds"),
        ("alertname = KubeNode", "fails"),
        ('node!="hive-05"', "holds"),
        ('node=~"hive-.*"', "holds"),
        ('node=~"hive"', "fails"),
        ('node=~"HIVE-04"', "fails"),
        ('node=~"(?i)HIVE-04"', "holds"),
        ('node=~"hive-04|hive-05"', "holds"),
        ('node!~"hive-.*"', "fails"),
        ('missing=""', "holds"),
        ('missing=~".+"', "fails"),
        ('missing!="x"', "holds"),
        ('empty=""', "holds"),
        ('"alertname"="KubeNodeNotReady"', "holds"),
    ],
)
def test_which_labels_match(text: str, outcome: str) -> None:
    assert parse_matcher(text).matches(LABELS) is (outcome == "holds")


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("alertname", "is no matcher"),
        ("", "is no matcher"),
        ('9name="x"', "is no matcher"),
        ('a="x', "not closed"),
        ('a="x" b', "something follows"),
        ('a=x"y', "quotation mark within"),
        ('a=~"("', "no regular expression: unclosed group"),
        ('a=~"(?=x)"', "look-around"),
        ('a=~"' + "x" * 2_000 + '"', "longer than"),
    ],
)
def test_what_is_no_matcher_is_explained(text: str, part: str) -> None:
    with pytest.raises(MatcherError, match=part):
        parse_matcher(text)


@given(
    st.from_regex(r"[a-z_]{1,9}", fullmatch=True),
    st.sampled_from(["=", "!="]),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
)
def test_a_matcher_is_read_back_as_it_is_written(name: str, operator: str, value: str) -> None:
    written = str(
        parse_matcher(f"{name}{operator}{Matcher(name='x', operator='=', value=value)}".replace('x="', '"', 1))
    )
    read = parse_matcher(written)

    assert (read.name, read.operator, read.value) == (name, operator, value)


@given(st.text(max_size=60))
def test_no_text_is_more_than_no_matcher(text: str) -> None:
    with suppress(MatcherError):
        assert parse_matcher(text).matches(LABELS) in {True, False}


def test_a_label_cannot_make_a_pattern_slow() -> None:
    """A pattern that takes a backtracking engine for ever."""
    matcher = parse_matcher('a=~"(a+)+$"')
    began = time.process_time()
    matcher.matches({"a": "a" * 512 + "b"})

    assert time.process_time() - began < 0.5
