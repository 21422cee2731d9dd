"""Every probe, in the order in which a reader would look: from the pod outwards.

A new probe is one module, one import and one line here.
"""

from collections.abc import Mapping
from types import MappingProxyType

from bot.domain.facts import FactSpec
from bot.probes import pod_arp_table, pod_link
from bot.probes.probe import Probe

PROBES: tuple[Probe, ...] = (
    pod_link.PROBE,
    pod_arp_table.PROBE,
)

FACTS: Mapping[str, FactSpec] = MappingProxyType({spec.name: spec for probe in PROBES for spec in probe.facts})
"""Every fact that some probe declares, by its full name."""
