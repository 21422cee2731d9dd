"""Does the cluster's DNS answer, by its Service and by each of its pods, for names in and out?"""

from bot.probes.dns.facts import FACTS, NEEDS
from bot.probes.dns.findings import NAME, judge
from bot.probes.dns.observe import observe
from bot.probes.engine.probe import Probe

PROBE = Probe(
    name=NAME,
    question="Does the cluster's DNS answer, by its Service and by each of its pods, for names in and out?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
