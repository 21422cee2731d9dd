"""Messages of other senders: the operator says by example what they look like, for each channel.

"Problem: {alertname} on {node}" is found anywhere in a line; `{label}` stands for one word of it. These are no regular
expressions: what a message holds is foreign text, and no template takes long to hold against it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Literal

from bot.domain.alert import AlertStatus

LABELS = frozenset(
    {
        "alertname", "cluster", "container", "daemonset", "deployment", "exported_namespace", "exported_pod",
        "instance", "job", "job_name", "k8s_app", "name", "namespace", "node", "pod", "service", "severity",
        "statefulset",
    }
)  # fmt: skip
"""Labels that are believed when a message names them."""
MAX_TEMPLATE = 300
MAX_LINE = 1_000
MAX_LINES = 60
_END = r"\s/`*\"',;()<>|\[\]"
"""What no value holds, so that where one ends is never in doubt."""
_PLACE = re.compile(r"\{([^{}]*)\}")
_STATUSES: tuple[AlertStatus, ...] = ("firing", "resolved")


class ExtractorError(ValueError):
    """No template; `str()` is the sentence."""


@dataclass(frozen=True)
class Template:
    """A line of a message as an example."""

    example: str

    def __post_init__(self) -> None:
        """Errors: `ExtractorError`."""
        _ = self._pattern

    @cached_property
    def _pattern(self) -> re.Pattern[str]:
        if len(self.example) > MAX_TEMPLATE or "\n" in self.example:
            raise ExtractorError(f"a template is one line of at most {MAX_TEMPLATE} characters")
        literals = _PLACE.split(self.example)[::2]
        names = _PLACE.findall(self.example)
        _check(names, literals)
        parts = [re.escape(literals[0])]
        for name, literal in zip(names, literals[1:], strict=True):
            parts += [rf"(?P<{name}>[^{_END}]{{1,253}})", re.escape(literal)]
        begins = "" if literals[0] else rf"(?<![^{_END}])"
        ends = "" if literals[-1] else rf"(?![^{_END}])"
        return re.compile(begins + "".join(parts) + ends)

    def labels(self, line: str) -> dict[str, str] | None:
        """What stands in the line where the template has labels; None where it does not fit."""
        found = self._pattern.search(line)
        return found.groupdict() if found else None


def _check(names: list[str], literals: list[str]) -> None:
    if unknown := [name for name in names if name not in LABELS]:
        raise ExtractorError(f"{unknown[0]!r} is no label that is read from messages: {', '.join(sorted(LABELS))}")
    if len({*names}) < len(names):
        raise ExtractorError("a label stands twice in it")
    if "alertname" not in names:
        raise ExtractorError("{alertname} is missing")
    if any(not re.search(f"[{_END}]", literal) for literal in literals[1:-1]):
        raise ExtractorError("between two labels there must be a space, a comma, a slash, a quote or a bracket")
    if not "".join(literals).strip():
        raise ExtractorError("it has nothing but labels, and would fit any line")


@dataclass(frozen=True, slots=True, kw_only=True)
class Extractor:
    """What the messages of one channel look like."""

    firing: tuple[Template, ...]
    resolved: tuple[Template, ...] = ()

    def read(self, texts: Iterable[str]) -> tuple[AlertStatus, dict[str, str]] | None:
        """The status and labels of the first line that fits; the end of an alert is looked for first."""
        lines = [line[:MAX_LINE] for text in texts for line in text.splitlines()][:MAX_LINES]
        ways: tuple[tuple[Literal["resolved", "firing"], tuple[Template, ...]], ...] = (
            ("resolved", self.resolved),
            ("firing", self.firing),
        )
        for status, templates in ways:
            for template in templates:
                for line in lines:
                    if (labels := template.labels(line)) is not None:
                        return status, labels
        return None


NO_EXTRACTORS: Mapping[str, Extractor] = MappingProxyType({})
"""Where Alertmanager alone is read."""
