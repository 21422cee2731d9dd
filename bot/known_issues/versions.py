"""Version ranges: ">=3.29.0 <3.29.7 || >=3.30.0 <3.30.4", read leniently, and never guessed.

Source: https://semver.org (precedence), https://github.com/npm/node-semver#ranges (the notation of ranges)
"""

import re
from dataclasses import dataclass

_VERSION = re.compile(
    r"v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-?(alpha|beta|rc|pre)[.-]?(\d{1,9})?)?", re.IGNORECASE
)
_WHOLE = re.compile(r"v?\d+(?:\.\d+){0,2}(?:-?(?:alpha|beta|rc|pre)[.-]?\d*)?", re.IGNORECASE)
_CONSTRAINT = re.compile(r"(>=|<=|>|<|=)?\s*(v?\d[^\s|]*)")

Version = tuple[int, int, int, int, int]
"""Major, minor, patch, whether it is a release (pre-releases come before it), and the pre-release's number."""


class VersionError(ValueError):
    """No version range; `str()` is the sentence."""


def parse_version(text: str) -> Version | None:
    """The version in a text such as "v3.28.2", "v1.33.1+k3s1" or "5.15.0-139-generic"; None when there is none.

    What follows the numbers is a build or a distribution's own suffix and does not count, except for alpha, beta, rc
    and pre, which come before the release.
    """
    match = _VERSION.match(text.strip())
    if match is None:
        return None
    major, minor, patch, stage, number = match.groups()
    stages = {"pre": 0, "alpha": 0, "beta": 1, "rc": 2}
    rank = 3 if stage is None else stages[stage.lower()]
    return (int(major), int(minor or 0), int(patch or 0), rank, int(number or 0))


@dataclass(frozen=True, slots=True)
class VersionRange:
    """Alternatives of constraints that hold together."""

    source: str
    alternatives: tuple[tuple[tuple[str, Version], ...], ...]

    def contains(self, text: str | None) -> bool | None:
        """Whether a version is inside; None when there is no version to compare."""
        version = parse_version(text) if text else None
        if version is None:
            return None
        return any(all(_holds(version, op, limit) for op, limit in one) for one in self.alternatives)


def parse_range(source: str) -> VersionRange:
    """The range that a text describes.

    Raises VersionError when it does not.
    """
    alternatives = tuple(_constraints(part, source) for part in source.split("||"))
    return VersionRange(source, alternatives)


def _constraints(text: str, source: str) -> tuple[tuple[str, Version], ...]:
    found: list[tuple[str, Version]] = []
    rest = _CONSTRAINT.sub("", text).strip()
    for op, word in _CONSTRAINT.findall(text):
        version = parse_version(word) if _WHOLE.fullmatch(word) else None
        if version is None:
            msg = f"{word!r} is no version"
            raise VersionError(msg)
        found.append((op or "=", version))
    if rest or not found:
        msg = f'{source!r} is no version range: write for example ">=3.29.0 <3.29.7 || >=3.30.0 <3.30.4"'
        raise VersionError(msg)
    return tuple(found)


def _holds(version: Version, op: str, limit: Version) -> bool:
    match op:
        case ">=":
            return version >= limit
        case "<=":
            return version <= limit
        case ">":
            return version > limit
        case "<":
            return version < limit
        case _:
            return version == limit
