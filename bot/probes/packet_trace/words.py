"""A fate in words."""

from bot.domain.facts import SubjectKind
from bot.probes.packet_trace.fate import Fate


def flow_words(fate: Fate) -> str:
    """As in "UDP from shop/a to 10.43.0.10:53 (kube-system/coredns-1)"."""
    flow, target = fate.flow, fate.ends.target
    port = f":{flow.port}" if flow.port else ""
    who = f" ({target.name})" if target and target.name != flow.ip else ""
    sender = fate.ends.source.name
    kind = "node " if fate.ends.source.kind is SubjectKind.NODE else ""
    return f"{flow.protocol.upper()} from {kind}{sender} to {flow.ip}{port}{who}"


def place(fate: Fate) -> str:
    """Where they were lost, and by what, in a clause: "packets of UDP from … die at cali1 of node-1, hook forward"."""
    what = f"{'replies' if fate.leg == 'reply' else 'packets'} ({flow_words(fate)})"
    by = f", by {fate.culprit}" if fate.culprit else ""
    if fate.died_at:
        return f"{what} die at {fate.died_at}: {fate.reason}{by}"
    if not fate.last_seen:
        return f"{what} never leave {fate.ends.source.name}: {fate.reason}"
    missing = f" and not at {fate.first_not_seen}" if fate.first_not_seen else ""
    return f"{what} are last seen at {fate.last_seen}{missing}: {fate.reason}{by}"


def sentence(fate: Fate) -> str:
    """What became of it, in one sentence."""
    return f"{outcome(fate)}."


def outcome(fate: Fate) -> str:
    """The same without a full stop."""
    what = f"Of {fate.sent} probe packets ({flow_words(fate)})"
    if not fate.lost:
        return f"{what} all were answered"
    direction = "replies" if fate.leg == "reply" else "packets"
    way = f"the {direction} were last seen at {fate.last_seen}" if fate.last_seen else "none was seen on any device"
    missing = f", not at {fate.first_not_seen}" if fate.first_not_seen and fate.last_seen else ""
    culprit = f"; by {fate.culprit}" if fate.culprit else ""
    return f"{what} {fate.lost} were lost: {way}{missing}; {fate.reason}{culprit}"
