"""Did every pod get a network: a sandbox, an address of its own, in a range that the CNI hands out?"""

from bot.probes.engine.probe import Probe
from bot.probes.pod_sandbox.facts import FACTS, NEEDS
from bot.probes.pod_sandbox.findings import NAME, judge
from bot.probes.pod_sandbox.observe import observe

PROBE = Probe(
    name=NAME,
    question="Did every pod get a network: a sandbox, an address of its own, in a range that the CNI hands out?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
