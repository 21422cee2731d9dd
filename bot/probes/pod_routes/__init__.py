"""Are there routes both ways: out of the pod, and from its node back to it?"""

from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.pod_routes.facts import FACTS
from bot.probes.pod_routes.findings import NAME, judge
from bot.probes.pod_routes.observe import observe

PROBE = Probe(
    name=NAME,
    question="Are there routes both ways: out of the pod, and from its node back to it?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
