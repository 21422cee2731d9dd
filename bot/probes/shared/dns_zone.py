"""CoreDNS's configuration: the zone of Services' names (cluster.local, unless somebody set another), and forwarding.

Source: https://coredns.io/plugins/kubernetes/
Source: https://kubernetes.io/docs/reference/config-api/kubeadm-config.v1beta4/ (dnsDomain)
"""

import re
from collections.abc import Sequence

from bot.probes.engine.evidence import Evidence

USUAL_ZONE = "cluster.local"
SHORT_NAME = "kubernetes.default"
"""A Service that every cluster has, as programs in any namespace name it."""
_SERVED = re.compile(r"^\s*kubernetes\s+([a-z0-9.-]+)", re.MULTILINE)
_FORWARDED = re.compile(r"^\s*forward\s+\.\s+([^{\n]+)", re.MULTILINE)
_SET_UP = re.compile(r"^\s*(?:dnsDomain|clusterDomain):\s*\"?([a-z0-9.-]+)", re.MULTILINE)


def dns_zone(evidence: Evidence) -> str:
    """As CoreDNS is configured, else as the cluster was set up, else "cluster.local"."""
    return served_zone(evidence) or _set_up_zone(evidence) or USUAL_ZONE


def served_zone(evidence: Evidence) -> str:
    """The zone in CoreDNS's Corefile; "" where that was not read or has none."""
    found = _SERVED.search(corefile(evidence))
    return found.group(1).rstrip(".") if found else ""


def is_inside(name: str) -> bool:
    """Whether a name is one of the cluster's own (its Services' names all have "svc" as a label)."""
    return "svc" in name.rstrip(".").split(".")[2:3]


def corefile(evidence: Evidence) -> str:
    """CoreDNS's configuration, "" where it was not read."""
    return next((each.data["Corefile"] for each in evidence.snapshot.config_maps if "Corefile" in each.data), "")


def forwarded_to(evidence: Evidence) -> Sequence[str]:
    """Whom CoreDNS asks for other names, as its configuration says it: addresses, or a file of them."""
    found = _FORWARDED.search(corefile(evidence))
    return found[1].split() if found else ()


def _set_up_zone(evidence: Evidence) -> str:
    for each in evidence.snapshot.config_maps:
        if each.metadata.name in {"kubeadm-config", "kubelet-config"}:
            for text in each.data.values():
                if found := _SET_UP.search(text[:65536]):
                    return found.group(1).rstrip(".")
    return ""
