"""Where do probe packets of failing flows die, by the kernel's own word?

A series with a fingerprint is sent once more for a few of the flows that failed, and followed through every namespace
on its way: where it was last seen, what the kernel said when it dropped it, which counters moved by just as much. It
works for mechanisms that no cause describes.

Source: https://docs.kernel.org/trace/events.html (skb:kfree_skb)
"""

from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.packet_trace.facts import FACTS, NAME
from bot.probes.packet_trace.findings import judge
from bot.probes.packet_trace.observe import observe

PROBE = Probe(
    name=NAME,
    question="Where do probe packets of failing flows die, by the kernel's own word?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
