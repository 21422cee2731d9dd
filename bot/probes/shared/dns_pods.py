"""The pods that the cluster's DNS Services select, ready or not, scheduled or not."""

from collections.abc import Sequence

from bot.cluster.objects import Pod
from bot.probes.engine.evidence import Evidence
from bot.probes.services.backends import is_taken


def dns_pods(evidence: Evidence) -> Sequence[Pod]:
    """In order of name."""
    selectors = [(s.name.partition("/")[0], evidence.services[s].spec.selector) for s in evidence.dns_services]
    return [
        pod
        for _, pod in sorted(evidence.pods.items())
        if any(pod.metadata.namespace == namespace and is_taken(selector, pod) for namespace, selector in selectors)
    ]
