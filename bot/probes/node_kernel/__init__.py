"""Does the node's kernel drop packets: full tables, packet filters, and whose rules?"""

from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.node_kernel.facts import FACTS
from bot.probes.node_kernel.findings import NAME, judge
from bot.probes.node_kernel.observe import observe

PROBE = Probe(
    name=NAME,
    question="Does the node's kernel drop packets: full tables, packet filters, and whose rules?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
