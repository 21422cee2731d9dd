"""Does the pod's gateway answer ARP, and what does the pod's own neighbour table say about it?"""

from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.pod_arp_table.facts import FACTS
from bot.probes.pod_arp_table.findings import NAME, judge
from bot.probes.pod_arp_table.observe import observe

PROBE = Probe(
    name=NAME,
    question="Does the pod's gateway answer ARP, and what does the pod's own neighbour table say about it?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
