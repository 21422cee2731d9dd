"""Does each Service's ClusterIP work, from where, and do the endpoints behind it answer directly?"""

from bot.probes.cluster_ip.facts import FACTS, NEEDS
from bot.probes.cluster_ip.findings import NAME, judge
from bot.probes.cluster_ip.observe import observe
from bot.probes.engine.probe import Probe

PROBE = Probe(
    name=NAME,
    question="Does each Service's ClusterIP work, from where, and do the endpoints behind it answer directly?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
