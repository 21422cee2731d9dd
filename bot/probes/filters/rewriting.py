"""Whether a rule that rewrites packets breaks a flow: sends it elsewhere, leaves it untranslated, or lets it die.

A Service's address means nothing on the wire: what somebody translates before kube-proxy's rules do, or keeps from
connection tracking, never comes to an endpoint. Other rewriting is daily work (a node's own address for what leaves,
a hostPort, a proxy that listens), and no fault.

Source: https://wiki.nftables.org/wiki-nftables/index.php/Performing_Network_Address_Translation_(NAT)
"""

from dataclasses import dataclass

from bot.agent.report import NetnsState
from bot.domain.facts import SubjectKind
from bot.probes.filters.journeys import Leg, Stop
from bot.probes.filters.matching import any_of
from bot.probes.filters.walking import Taking

FEW_HOPS = 3
"""A time to live of so many does not suffice from pod to pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewriting:
    """What a rule that rewrites does to one flow."""

    is_harm: bool | None
    """None: perhaps."""
    is_elsewhere: bool = False
    """The flow ends at somebody else, who may well answer."""


HARMLESS = Rewriting(is_harm=False)


def rewriting(
    taking: Taking, stop: Stop, leg: Leg, *, state: NetnsState, targets: frozenset[str], proxy: str
) -> Rewriting:
    """What it does. `targets`: where the flow may rightly end; `proxy`: the mode of kube-proxy."""
    match taking.kind:
        case "dnat" | "redirect" if not leg.is_reply:
            return _target(taking, stop, leg, state, targets, proxy)
        case "snat" if not leg.is_reply and not stop.is_outer:
            own = {each.ip for each in state.addresses}
            return Rewriting(is_harm=None if not taking.address else taking.address not in own)
        case "notrack":
            # Untracked is not translated; what is dialled by its own address needs no translation.
            is_early = taking.hook.priority < stop.nat_at
            is_service = stop.behind is not None and is_early
            return Rewriting(is_harm=is_service and not _is_held(stop, state))
        case "ttl":
            return _hops(taking, stop, leg)
        case _:
            return HARMLESS


def _hops(taking: Taking, stop: Stop, leg: Leg) -> Rewriting:
    """A packet loses one where it is routed on, none where it arrives or is switched; perhaps on the next node."""
    word = taking.step.verdict.partition(" ")[2] if taking.step else ""
    if not word.isdecimal() or int(word) > FEW_HOPS:
        return HARMLESS
    onward = leg.stops[leg.stops.index(stop) :]
    is_routed = any(one.hook == "forward" and one.packet.get("iif") != one.packet.get("oif") for one in onward)
    return Rewriting(is_harm=True if is_routed and int(word) <= 1 else None)


def _target(taking: Taking, stop: Stop, leg: Leg, state: NetnsState, targets: frozenset[str], proxy: str) -> Rewriting:
    is_first = _is_first(taking, stop, proxy)
    if is_first is False:
        return HARMLESS
    if taking.kind == "redirect":
        # A proxy that listens is meant so: what it does with the connection is its own matter.
        answers = _answers(taking, stop, state)
        return HARMLESS if answers else Rewriting(is_harm=is_first if answers is False else None)
    own = {each.ip for each in state.addresses}
    if taking.address in targets | own or taking.address.startswith(("127.", "169.254.")):
        return HARMLESS
    is_elsewhere = is_first is True and bool(taking.address) and leg.place.kind is SubjectKind.NODE
    return Rewriting(is_harm=is_first if taking.address else None, is_elsewhere=is_elsewhere)


def _is_first(taking: Taking, stop: Stop, proxy: str) -> bool | None:
    """Whether it translates before kube-proxy does; a connection is translated once in each direction."""
    if stop.behind is None:
        return True
    if taking.hook.priority != stop.nat_at:
        return taking.hook.priority < stop.nat_at
    # In one chain with kube-proxy's jumps, which the walk through it knows; else it depends on who came first.
    return True if proxy == "iptables" and taking.hook.backend != "nft" else None


def _is_held(stop: Stop, state: NetnsState) -> bool:
    """Whether the node itself has the address that is dialled: a cache of the node's own in front of a Service."""
    dialled = stop.packet.get("daddr") or frozenset()
    return any(each.ip in dialled for each in state.addresses)


def _answers(taking: Taking, stop: Stop, state: NetnsState) -> bool | None:
    """Whether somebody listens where it redirects to; None where that is not known."""
    if state.listeners is None:
        return None
    port = taking.step.verdict.partition(":")[2] if taking.step else ""
    ports = {port} if port else stop.packet.get("dport") or frozenset()
    protocols = stop.packet.get("proto") or frozenset()
    listening = {(each.protocol, str(each.port)) for each in state.listeners}
    return any_of((protocol, one) in listening for protocol in protocols for one in ports) if ports else None
