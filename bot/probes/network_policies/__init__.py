"""Which NetworkPolicies select the pods and the flows in question, and what do they deny?"""

from bot.probes.engine.probe import Probe
from bot.probes.network_policies.facts import FACTS, NEEDS
from bot.probes.network_policies.findings import NAME, judge
from bot.probes.network_policies.observe import observe

PROBE = Probe(
    name=NAME,
    question="Which NetworkPolicies select the pods and the flows in question, and what do they deny?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
