"""Does each pod resolve names as its own resolver is set: its nameservers in order, its search list?"""

from bot.probes.engine.probe import Probe
from bot.probes.resolver.facts import FACTS, NEEDS
from bot.probes.resolver.findings import NAME, judge
from bot.probes.resolver.observe import observe

PROBE = Probe(
    name=NAME,
    question="Does each pod resolve names as its own resolver is set: its nameservers in order, its search list?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
