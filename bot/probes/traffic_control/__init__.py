"""Does a queue, or a filter of traffic control, take packets on the devices that carry them?"""

from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.traffic_control.facts import FACTS
from bot.probes.traffic_control.findings import NAME, judge
from bot.probes.traffic_control.observe import observe

PROBE = Probe(
    name=NAME,
    question="Does a queue, or a filter of traffic control, take packets on the devices that carry them?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
