"""What would be lost of the flows that a Service's clients need, though the connections that we tried did open.

No test sends an application's data, and a rule of chance may spare the few packets that tests send. The rules on the
way are held against both (`bot.probes.filters`).
"""

from collections.abc import Iterator

from bot.domain.facts import FactBuilder, Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.filters.held import Held, Untried, held_rules
from bot.probes.filters.naming import rule_in_words

KEYS = ("data_lost_flows", "chance_lost_flows", "untried_losses", "crowd_limits")
MAX_FLOWS = 64
MAX_NAMED = 10


def observe_untried(evidence: Evidence, service: Subject, into: FactBuilder) -> None:
    """The flows of a Service's clients of which a rule surely takes packets, and the rules."""
    if not held_rules(evidence):
        into.miss_all(service, KEYS, "the rules of no node and no pod were read")
        return
    losses = list(_losses(evidence, service))
    for key, is_data in (("data_lost_flows", True), ("chance_lost_flows", False)):
        flows = ((one.source, one.endpoint) for _, one in losses if one.is_data is is_data)
        into.set_flows(service, key, flows, most=MAX_FLOWS)
    reported = dict.fromkeys(f"{_packets(one)} ({held.place}: {rule_in_words(held.taking)})" for held, one in losses)
    into.set(service, "untried_losses", tuple(reported)[:MAX_NAMED])
    limits = (
        f"{held.place}: {rule_in_words(held.taking)}"
        for rules in held_rules(evidence).values()
        for held in rules
        if service in held.crowded and not held.matches
    )
    into.set(service, "crowd_limits", tuple(dict.fromkeys(limits))[:MAX_NAMED])


def _losses(evidence: Evidence, service: Subject) -> Iterator[tuple[Held, Untried]]:
    for rules in held_rules(evidence).values():
        for held in rules:
            if held.matches:
                yield from ((held, one) for one in held.untried if one.service == service)


def _packets(one: Untried) -> str:
    if one.is_elsewhere:
        return f"what {one.source.name} sends goes to somebody else"
    what = "full-size" if one.is_data else "some"
    return f"{what} answers to {one.source.name}" if one.is_reply else f"{what} packets of {one.source.name}"
