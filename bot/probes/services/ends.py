"""Each endpoint of a Service by itself: how it failed for everybody who may ask, and what its sockets say."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.services.attempts import ServiceTest, ServiceTests, not_denied
from bot.probes.services.backends import Backend
from bot.probes.services.rules import listening_ports, listens_at
from bot.probes.shared.reach import aggregate, in_words
from bot.probes.shared.values import listed

SERVES = frozenset({"ok", "mixed"})
_ANSWERS = frozenset({"refused", "reset"})
"""A pod that says no is there."""
_LISTENING: Mapping[str, str] = {
    "target-port": "it listens there",
    "loopback-only": "it listens there on its loopback address only",
    "nothing": "it listens on no port",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadEnd:
    """An endpoint of which nobody who may ask reached one port."""

    backend: Backend
    reach: str
    listens: str | None
    """What its sockets say; None where they were not read."""
    instead: tuple[str, ...] = ()
    """The ports that it listens on."""

    @property
    def name(self) -> str:
        """The pod, else the address and port."""
        pod = self.backend.pod
        return pod.name if pod else f"{self.backend.ip}:{self.backend.port}"

    def __str__(self) -> str:
        port = f"{self.backend.port}/{self.backend.protocol}"
        if self.listens in {"other-port", "other-protocol"}:
            words = f" (it listens on {listed(self.instead)})"
        else:
            words = f" ({_LISTENING[self.listens]})" if self.listens else ""
        return f"{self.name} at {port} {in_words(self.reach)}{words}"


def dead_ends(evidence: Evidence, tests: ServiceTests, ready: Sequence[Backend]) -> tuple[DeadEnd, ...]:
    """Endpoints that failed for everybody who may ask, in order of name and port."""
    return tuple(sorted(_dead_ends(evidence, tests, ready), key=lambda end: (end.name, end.backend.port)))


def _dead_ends(evidence: Evidence, tests: ServiceTests, ready: Sequence[Backend]) -> Iterator[DeadEnd]:
    asked: dict[tuple[str, int, str], list[ServiceTest]] = {}
    for each in not_denied(tests.direct):
        asked.setdefault((each.ip, each.port, each.protocol), []).append(each)
    for end in ready:
        reaches = [each.reach for each in asked.get((end.ip, end.service_port, end.protocol), ())]
        reach = aggregate(reaches)
        if reach is None or not SERVES.isdisjoint(reaches):
            continue
        report = evidence.pod_reports.get(end.pod) if end.pod else None
        yield DeadEnd(
            backend=end,
            reach=reach,
            listens=listens_at(report, end) if end.pod else None,
            instead=tuple(sorted(set(listening_ports([report])))),
        )


def failing_ports(tests: ServiceTests) -> tuple[str, ...]:
    """The Service's ports of which somebody who may ask did not always get through: "5432/TCP"."""
    bad = {(each.port, each.protocol) for each in not_denied((*tests.vip, *tests.direct)) if each.reach != "ok"}
    return tuple(f"{port}/{protocol}" for port, protocol in sorted(bad))


def common(words: Iterable[str | None]) -> str | None:
    """The one word that all share, "mixed" when they differ; None when any of them is not known."""
    found = set(words)
    if not found or None in found:
        return None
    return next(iter(found)) if len(found) == 1 else "mixed"


def are_alive(evidence: Evidence, ends: Iterable[DeadEnd]) -> bool | None:
    """Whether each of these pods reaches, or is reached by, anything else; None where nothing else was tried."""
    seen = _seen_alive(evidence)
    found = [True if end.reach in _ANSWERS else seen.get(end.backend.pod) for end in ends if end.backend.pod]
    if False in found:
        return False
    return None if None in found or not found else True


@once_per_evidence
def _seen_alive(evidence: Evidence) -> Mapping[Subject, bool]:
    """Each pod that tests came from or went to, and whether any of these got an answer."""
    found: dict[Subject, bool] = {}
    for source, _, test in evidence.tests:
        if test.protocol == "mtu":
            continue
        is_answered = test.ok > 0 or test.outcome in {"ok", "reset"}
        for end in (source, *evidence.pods_by_ip.get(test.ip, ())):
            found[end] = found.get(end, False) or is_answered
    return found
