"""Which CNI is this, does its agent run on every node, and what is left of another one?"""

from bot.probes.cni_inventory.facts import FACTS, NEEDS
from bot.probes.cni_inventory.findings import NAME, judge
from bot.probes.cni_inventory.observe import observe
from bot.probes.engine.probe import Probe

PROBE = Probe(
    name=NAME,
    question="Which CNI is this, does its agent run on every node, and what is left of another one?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
