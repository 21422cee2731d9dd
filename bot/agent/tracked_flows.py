"""Flows whose target connection tracking translates, and that are in use: read twice, a few seconds apart.

The first packet decides where all of a flow goes, so an old flow may lead where no new one does. Of UDP, which has no
end, only what is being sent says that an entry matters: the kernel gives it its time anew with each packet, and so it
is seen whether there was one between the two readings. Of TCP only what waits for an acknowledgement is of interest.

Source: https://docs.kernel.org/networking/nf_conntrack-sysctl.html
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from itertools import islice

from bot.agent.counters import NET
from bot.agent.files import read_text
from bot.agent.report import TrackedFlow

READ_LIMIT = 20_000
FLOWS_LIMIT = 500
UNANSWERED_S = 300
"""So long the kernel keeps a TCP connection whose data was not acknowledged, where others have hours."""
STREAM_S, RECENT_S = 120, 10
"""So long it keeps a UDP flow with several answers; one that has most of that left was used a moment ago."""
ROUNDING_S = 1.0
_ROW = re.compile(
    r"ipv[46] +\d+ (?P<protocol>udp|tcp) +\d+ (?P<left>\d+) (?:ESTABLISHED )?"
    r"src=(?P<src>[\da-f.:]+) dst=(?P<dst>[\da-f.:]+) sport=(?P<sport>\d+) dport=(?P<port>\d+) "
    r"(?P<between>.*?)src=(?P<to>[\da-f.:]+) (?P<rest>.*)"
)


@dataclass(frozen=True, slots=True)
class _Entry:
    flow: TrackedFlow
    sport: str
    left_s: int
    is_assured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowReading:
    """The table at one time, by flow and source port."""

    at_s: float = 0.0
    """When it was read, by any clock that only advances."""
    entries: Mapping[tuple[TrackedFlow, str], _Entry] = field(default_factory=dict[tuple[TrackedFlow, str], _Entry])


def read_flows(at_s: float) -> FlowReading:
    """From the connection tracking table. OSError where the kernel does not show it."""
    return parse_flows(read_text(f"{NET}/nf_conntrack"), at_s)


def parse_flows(text: str, at_s: float) -> FlowReading:
    """What is translated: all of UDP, and of TCP what waits for an acknowledgement."""
    found = islice(_entries(text), READ_LIMIT)
    return FlowReading(at_s=at_s, entries={(each.flow, each.sport): each for each in found})


def _entries(text: str) -> Iterator[_Entry]:
    for line in text.splitlines():
        match = _ROW.match(line)
        if match is None or match["to"] == match["dst"]:
            continue
        is_tcp, left = match["protocol"] == "tcp", int(match["left"])
        if is_tcp and ("ESTABLISHED" not in line or left > UNANSWERED_S):
            continue
        flow = TrackedFlow(
            protocol="tcp" if is_tcp else "udp",
            src=_plain(match["src"]),
            dst=_plain(match["dst"]),
            port=int(match["port"]),
            to=_plain(match["to"]),
        )
        yield _Entry(flow, match["sport"], left, "[ASSURED]" in match["rest"])


def flows_in_use(before: FlowReading | None, after: FlowReading) -> tuple[TrackedFlow, ...]:
    """Each once for all its sockets, with whether something was sent between the two readings."""
    found: dict[TrackedFlow, bool] = {}
    for key, now in after.entries.items():
        then = before.entries.get(key) if before else None
        is_sent = then is not None and before is not None and _is_renewed(then, now, after.at_s - before.at_s)
        is_recent = now.is_assured and now.left_s >= STREAM_S - RECENT_S
        if now.flow.protocol == "tcp" or is_sent or is_recent:
            found[now.flow] = found.get(now.flow, False) or is_sent
    flows = islice(sorted(found, key=lambda one: (not found[one], one.src, one.dst, one.port)), FLOWS_LIMIT)
    return tuple(replace(one, is_sent=found[one]) for one in flows)


def _is_renewed(then: _Entry, now: _Entry, passed_s: float) -> bool:
    """Whether it has more time left than it would, had nothing been sent."""
    return now.left_s > then.left_s - passed_s + ROUNDING_S


def _plain(text: str) -> str:
    """An address in its shortest form: the table writes all of an IPv6 address."""
    return str(ip_address(text)) if ":" in text else text
