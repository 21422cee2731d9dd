"""What tells of drops: the best instrument that this node allows."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Literal, Protocol

from bot.agent.trace.packets import Fingerprints, Mark
from bot.agent.trace.symbols import names_of, place_of, read_symbols
from bot.agent.trace.tap import DropEvent, Tap
from bot.agent.trace.tracefs import DropTrace
from bot.agent.traced import PacketDrop, TraceFlow, split_address

STACK_NAMES = 8
MOST_UNSURE = 2_000
COPIES = frozenset({"ping_rcv"})
"""Gives up a copy of an echo reply that a raw socket received all the same."""


class Instrument(Protocol):
    """Listens from the moment it is made."""

    def prepare(self) -> None:
        """Read what telling needs, in a thread of its own: meanwhile packets are waited for."""
        ...

    def drain(self) -> None:
        """Take what is there, so that nothing is lost. Called often."""
        ...

    def drops(self) -> tuple[PacketDrop, ...]:
        """All that was dropped of our series."""
        ...

    def close(self) -> None:
        """Leave nothing behind in the kernel. May be called again."""
        ...


class TapInstrument:
    """The tap: drops with the packets' own bytes."""

    def __init__(self, fingerprints: Fingerprints, namespaces: Mapping[int, str]) -> None:
        self._fingerprints = fingerprints
        self._namespaces = namespaces
        self._taken: list[tuple[Mark, DropEvent]] = []
        self._unsure: list[DropEvent] = []
        self._symbols: list[bytes] = []
        self._tap = Tap()

    def prepare(self) -> None:
        """Read the kernel's symbols; where they are refused, places have no names."""
        with suppress(OSError):
            self._symbols = read_symbols()

    def drain(self) -> None:
        """Keep what is ours, and what may turn out to be."""
        for event in self._tap.read():
            if event.netns and event.netns not in self._namespaces:
                continue
            if mark := self._fingerprints.identify(event.packet):
                self._taken.append((mark, event))
            elif len(self._unsure) < MOST_UNSURE and self._fingerprints.may_be_ours(event.packet):
                self._unsure.append(event)

    def drops(self) -> tuple[PacketDrop, ...]:
        """By flow, leg and place."""
        self.drain()
        marked = ((self._fingerprints.identify(event.packet), event) for event in self._unsure)
        self._taken += [(mark, event) for mark, event in marked if mark]
        self._unsure.clear()
        addresses = {frame for _, event in self._taken for frame in (event.location, *event.stack)}
        names = names_of(addresses, self._symbols)
        merged: Counter[PacketDrop] = Counter()
        # One packet may die more than once at one place: TCP sends it again.
        once = {(mark.flow, mark.leg, mark.at, event.location, event.dev): (mark, event) for mark, event in self._taken}
        for mark, event in once.values() if all(mark.at >= 0 for mark, _ in self._taken) else self._taken:
            if names.get(event.location) not in COPIES:
                merged[self._drop(mark, event, names)] += 1
        return tuple(replace(drop, count=count) for drop, count in merged.most_common())

    def _drop(self, mark: Mark, event: DropEvent, names: Mapping[int, str]) -> PacketDrop:
        place = place_of([names.get(frame, "?") for frame in event.stack], names.get(event.location, ""))
        return PacketDrop(
            flow=mark.flow,
            netns=self._namespaces.get(event.netns, ""),
            dev=event.dev,
            reason=event.reason,
            symbol=place.symbol,
            hook=place.hook,
            family=place.family,
            stack=place.stack[:STACK_NAMES],
            leg=mark.leg,
            tunnel=mark.tunnel,
            count=0,
            src=split_address(mark.src)[0],  # each packet has a port of its own
            dst=mark.dst if mark.leg == "request" or mark.tunnel else split_address(mark.dst)[0],
        )

    def close(self) -> None:
        """Take the tap away."""
        self._tap.close()


class TraceInstrument:
    """The trace: drops of packets with a length of their own."""

    def __init__(self, flows: Sequence[TraceFlow], roots: Sequence[str]) -> None:
        self._trace = DropTrace(roots, flows)

    def prepare(self) -> None:
        """The kernel writes names."""

    def drain(self) -> None:
        """The kernel keeps the trace."""

    def drops(self) -> tuple[PacketDrop, ...]:
        """By flow and place."""
        return self._trace.drops()

    def close(self) -> None:
        """Take the trace away."""
        self._trace.close()


class NoInstrument:
    """Nothing tells of drops; sightings and counters remain."""

    def prepare(self) -> None:
        """Nothing to read."""

    def drain(self) -> None:
        """Nothing to take."""

    def drops(self) -> tuple[PacketDrop, ...]:
        """None."""
        return ()

    def close(self) -> None:
        """Nothing to close."""


def open_instrument(
    flows: Sequence[TraceFlow], fingerprints: Fingerprints, namespaces: Mapping[int, str], roots: Sequence[str]
) -> tuple[Instrument, Literal["bpf", "tracefs", "none"], str]:
    """The best one, its name, and why there is no better one. `namespaces`: label by inode.

    `fingerprints` are those of the flows. What they learn of sightings before `drops` tells more drops.
    """
    try:
        return TapInstrument(fingerprints, namespaces), "bpf", ""
    except OSError as error:
        why = f"no tap: {error}"
    try:
        return TraceInstrument(flows, roots), "tracefs", why
    except OSError as error:
        return NoInstrument(), "none", f"{why}; no trace: {error}"
