"""Do Cilium's programs run where they were attached, and do their maps lead packets to the right place?"""

from bot.probes.ebpf.facts import FACTS
from bot.probes.ebpf.findings import NAME, judge
from bot.probes.ebpf.observe import observe
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe

PROBE = Probe(
    name=NAME,
    question="Do Cilium's programs run where they were attached, and do their maps lead packets to the right place?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
