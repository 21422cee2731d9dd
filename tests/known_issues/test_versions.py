"""Version ranges: what lies inside, what outside, and what cannot be compared."""

import pytest

from bot.known_issues.versions import VersionError, parse_range, parse_version


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("v3.29.0", True),
        ("3.29.6", True),
        ("v3.29.7", False),
        ("3.30.3", True),
        ("3.30.4", False),
        ("v3.31.0", True),
        ("v3.31.1", False),
        ("v3.28.9", False),
        ("v3.30.0-beta.1", False),
        ("3.30", True),
        ("", None),
        ("master", None),
        (None, None),
    ],
)
def test_alternatives_of_constraints(version: str | None, expected: object) -> None:
    versions = parse_range(">=3.29.0 <3.29.7 || >=3.30.0 <3.30.4 || =3.31.0")

    assert versions.contains(version) is expected


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("1.9.0", "1.10.0"),
        ("1.33.0-alpha.1", "1.33.0-beta.0"),
        ("1.33.0-rc.1", "1.33.0-rc.2"),
        ("1.33.0-rc.2", "v1.33.0+k3s1"),
        ("5.15.0-139-generic", "5.15.1"),
    ],
)
def test_the_order_of_versions(smaller: str, larger: str) -> None:
    first, second = parse_version(smaller), parse_version(larger)

    assert first is not None
    assert second is not None
    assert first < second


def test_suffixes_of_distributions_do_not_count() -> None:
    assert parse_version("v1.33.1+k3s1") == parse_version("1.33.1")
    assert parse_version("5.15.0-127-generic") == parse_version("5.15.0")
    assert parse_version("6.8.0-1015-raspi") == parse_version("6.8.0")


@pytest.mark.parametrize("text", ["", "3.x", ">=", "newer than 3", ">=3 and <4", "~1.2"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(VersionError):
        parse_range(text)
