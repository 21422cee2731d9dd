"""Does every Service with a selector have at least one ready endpoint, and do the endpoints' ports exist?"""

from bot.probes.engine.probe import Probe
from bot.probes.service_endpoints.facts import FACTS, NEEDS
from bot.probes.service_endpoints.findings import NAME, judge
from bot.probes.service_endpoints.observe import observe

PROBE = Probe(
    name=NAME,
    question="Does every Service with a selector have at least one ready endpoint, and do the endpoints' ports exist?",
    facts=FACTS,
    needs=NEEDS,
    observe=observe,
    judge=judge,
)
