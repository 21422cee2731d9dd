"""Do packets of every size get through between nodes, and does somebody say so when they do not?"""

from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.path_mtu.facts import FACTS
from bot.probes.path_mtu.findings import NAME, judge
from bot.probes.path_mtu.observe import observe

PROBE = Probe(
    name=NAME,
    question="Do packets of every size get through between nodes, and does somebody say so when they do not?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
