"""Is the pod plugged in: are both ends of its link up, and does eth0 carry the pod's address?"""

from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.pod_link.facts import FACTS
from bot.probes.pod_link.findings import NAME, judge
from bot.probes.pod_link.observe import observe

PROBE = Probe(
    name=NAME,
    question="Is the pod plugged in: are both ends of its link up, and does eth0 carry the pod's address?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
