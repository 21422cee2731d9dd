"""What do the CNI's agents and kube-proxy complain about in their own logs?"""

from bot.probes.agent_logs.facts import FACTS, NEEDS
from bot.probes.agent_logs.findings import NAME, judge
from bot.probes.agent_logs.observe import observe
from bot.probes.engine.probe import Probe

PROBE = Probe(
    name=NAME,
    question="What do the CNI's agents and kube-proxy complain about in their own logs?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
