"""Does each node's end of the overlay agree with what all its peers believe about it?"""

from bot.probes.engine.probe import Probe
from bot.probes.overlay.facts import FACTS, NEEDS
from bot.probes.overlay.findings import NAME, judge
from bot.probes.overlay.observe import observe

PROBE = Probe(
    name=NAME,
    question="Does each node's end of the overlay agree with what all its peers believe about it?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
