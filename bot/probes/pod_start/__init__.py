"""Is every pod given to a node, and does that node get its images?"""

from bot.probes.engine.probe import Probe
from bot.probes.pod_start.facts import FACTS, NEEDS
from bot.probes.pod_start.findings import NAME, judge
from bot.probes.pod_start.observe import observe

PROBE = Probe(
    name=NAME,
    question="Is every pod given to a node, and does that node get its images?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
