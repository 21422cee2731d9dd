"""Do pods reach pods: on their own node, and from each node to each other, in both directions?"""

from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.pod_matrix.facts import FACTS
from bot.probes.pod_matrix.findings import NAME, judge
from bot.probes.pod_matrix.observe import observe

PROBE = Probe(
    name=NAME,
    question="Do pods reach pods: on their own node, and from each node to each other, in both directions?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
