"""What took packets without a word of the kernel: redirects, programs, and rules that hand packets to somebody else.

No drop event tells of them, so the configuration does: what hangs between the device where packets were seen last and
the one where they should have been seen next. One candidate is the taker, of several each may be. A packet that shows
up on a device to which a filter redirects is proof by itself.

Programs of the CNI redirect packets as their task: they are named only where nothing else hangs there.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from bot.agent.report import Filter, NetnsState
from bot.agent.traced import TraceFlow, split_address
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.naming import rule_in_words
from bot.probes.filters.traced import namespace_of, rules_that_steal
from bot.probes.packet_trace.culprits import filter_in_words, one_of
from bot.probes.packet_trace.sockets import is_answered_by_kernel
from bot.probes.packet_trace.way import Ends, Seen, device_beneath, device_onward, is_arrival, owner_of
from bot.probes.shared.policy_routing import Packet, Routing
from bot.probes.shared.programs import is_cni_program
from bot.probes.shared.routing import family_of

TAKING = frozenset({"redirect", "program", "drop"})
"""Effects after which a packet goes no further on its way; "drop" tells of "stolen", too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taker:
    """What took the packets."""

    words: str
    """One, or the candidates."""
    side: tuple[str, str, str] | None = None
    """Where the only filter or program hangs: node's name or pod's uid, device, ingress or egress; None for others."""
    after: Seen | None = None
    """Where packets that were led astray were seen last before that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stray:
    """A device where packets turned up."""

    node: str
    netns: str
    dev: str
    source: str
    target: str
    """Addresses as the packets carried them there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    words: str
    side: tuple[str, str, str] | None
    is_cni: bool
    can_divert: bool = True
    """Packets may turn up elsewhere behind it."""


def taker_of(evidence: Evidence, flow: TraceFlow, ends: Ends, last: Seen) -> Taker | None:
    """None where nothing on the way could have taken them so."""
    found = list(dict.fromkeys(_between(evidence, flow, ends, last)))
    return _taker([one for one in found if not one.is_cni] or found)


def taker_at_sender(evidence: Evidence, flow: TraceFlow) -> Taker | None:
    """What hangs where packets leave their sender, of those that were seen nowhere: they are seen behind it."""
    trace, state = evidence.traces[flow.node], namespace_of(evidence, flow.node, flow.source)
    if state is None or trace.instrument == "none" or flow.source not in trace.namespaces:
        return None
    found = list(_leaving(evidence, flow.node, flow.source, state, flow.ip))
    return _taker([one for one in found if not one.is_cni] or found)


def _taker(found: Sequence[_Candidate]) -> Taker | None:
    words = one_of([one.words for one in found])
    return Taker(words=words, side=found[0].side if len(found) == 1 else None) if words else None


def diverted_by(evidence: Evidence, seen: Sequence[Seen]) -> Taker | None:
    """A filter that redirects to a device where they were seen to leave, from one where they came in.

    One of an `ifb` gives them back: that is how what comes in is queued.
    """
    for last in seen:
        node, netns = last.node, last.sighting.netns
        state = namespace_of(evidence, node, netns)
        came = {one.sighting.dev for one in seen if (one.node, one.sighting.netns) == (node, netns)}
        kinds = {link.name: link.kind for link in state.links} if state else {}
        for one in state.filters or () if state and last.sighting.is_out else ():
            is_detour = kinds.get(one.target) == "ifb" or one.dev == one.target
            if one.effect != "redirect" or one.target != last.sighting.dev or is_detour:
                continue
            if one.direction == "egress" or one.dev in came:
                words = filter_in_words(one, owner_of(evidence, node, netns))
                came = [each for each in seen if each.sighting.dev == one.dev and not each.sighting.is_out]
                return Taker(words=words, side=_side(node, netns, one), after=came[-1] if came else None)
    return None


def diverted_to(evidence: Evidence, flow: TraceFlow, ends: Ends, stray: Stray, seen: Sequence[Seen]) -> Taker | None:
    """What led packets to a device that is not on their way, and to which no route leads."""
    here = [one for one in seen if (one.node, one.sighting.netns) == (stray.node, stray.netns)]
    if redirected := diverted_by(evidence, here):
        return redirected
    state = namespace_of(evidence, stray.node, stray.netns)
    came = [one for one in here if not one.sighting.is_out and not one.sighting.tunnel]
    if state is None or not stray.dev or not came:
        return None
    last = came[-1]
    onward = device_onward(evidence, ends, last)
    answer = Routing(state).answer(Packet(dst=stray.target, src=stray.source, iif=(last.sighting.dev,)))
    own = {last.sighting.dev, onward.dev if onward else "", answer.route.dev if answer and answer.route else ""} - {""}
    masters = {link.name: link.master for link in state.links}
    if stray.dev in own | {masters.get(name, "") for name in own} or masters.get(stray.dev, "") in own:
        return None
    found = [one for one in dict.fromkeys(_between(evidence, flow, ends, last)) if one.can_divert and not one.is_cni]
    taker = _taker(found)
    return replace(taker, after=last) if taker else None


def _between(evidence: Evidence, flow: TraceFlow, ends: Ends, last: Seen) -> Iterator[_Candidate]:
    """What hangs behind the last sighting and before the next one."""
    one, onward = last.sighting, device_onward(evidence, ends, last)
    if one.is_out:
        if onward is not None:
            # Only XDP sees a packet before we do.
            yield from _hanging(evidence, onward.node, onward.netns, onward.dev, "ingress", only="xdp")
        if beneath := device_beneath(evidence, ends, last):
            yield from _hanging(evidence, last.node, one.netns, beneath, "egress")
        return
    yield from _hanging(evidence, last.node, one.netns, one.dev, "ingress")
    state = namespace_of(evidence, last.node, one.netns)
    for taking in rules_that_steal(state, flow, last.sighting) if state else ():
        yield _Candidate(words=rule_in_words(taking), side=None, is_cni=False)
    if state:
        yield from _answers(evidence, flow, ends, last, state)
    if onward is not None and onward.dev:
        yield from _hanging(evidence, onward.node, onward.netns, onward.dev, "egress")


def _answers(evidence: Evidence, flow: TraceFlow, ends: Ends, last: Seen, state: NetnsState) -> Iterator[_Candidate]:
    """Where answers leave the target that its kernel gives by itself; whether a process answers is not known."""
    one = last.sighting
    if is_arrival(last, ends) and flow.protocol == "tcp" and one.leg == "request":
        source, port = split_address(one.src)[0], split_address(one.dst)[1]
        if is_answered_by_kernel(state, port):
            yield from _leaving(evidence, last.node, one.netns, state, source)


def _leaving(evidence: Evidence, node: str, netns: str, state: NetnsState, target: str) -> Iterator[_Candidate]:
    """What hangs where packets to an address leave a namespace."""
    routing = Routing(state)
    answer = routing.answer(Packet(dst=target)) if routing.has_rules_of(family_of(target)) else None
    if answer and answer.route and answer.route.dev:
        yield from _hanging(evidence, node, netns, answer.route.dev, "egress")


def _hanging(
    evidence: Evidence, node: str, netns: str, dev: str, direction: str, *, only: str = ""
) -> Iterator[_Candidate]:
    state: NetnsState | None = namespace_of(evidence, node, netns)
    for one in state.filters or () if state else ():
        is_before = one.kind == "xdp" and not only  # it took nothing that was seen to come in
        if one.dev == dev and one.direction in {direction, "queue"} and one.effect in TAKING and not is_before:
            if only and one.kind != only:
                continue
            words = filter_in_words(one, owner_of(evidence, node, netns))
            yield _Candidate(
                words=words,
                side=_side(node, netns, one),
                is_cni=is_cni_program(one, evidence.cni.name),
                can_divert=one.effect != "drop",
            )


def _side(node: str, netns: str, one: Filter) -> tuple[str, str, str]:
    return (node if netns in {"node", ""} else netns, one.dev, one.direction)
