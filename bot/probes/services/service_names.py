"""Which Service of the cluster a pod means by a name or an address that it is configured to dial."""

from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.selectors import address
from bot.probes.services.backends import service_by_ip

MAX_ALIASES = 4


def dialled_service(evidence: Evidence, host: str, namespace: str) -> Subject | None:
    """The Service behind an address, or behind a name as a pod of this namespace completes it; aliases are followed.

    An alias (ExternalName) that leads out of the cluster, or nowhere, is no Service.
    """
    if address(host):
        return service_by_ip(evidence).get(host)
    found = named_service(evidence, host, namespace)
    for _ in range(MAX_ALIASES):
        if found is None or evidence.services[found].spec.type != "ExternalName":
            return found
        alias = evidence.services[found].spec.external_name
        # A nameserver completes no alias: it must be the full name.
        found = named_service(evidence, alias, "") if alias.count(".") > 1 else None
    return None


def named_service(evidence: Evidence, host: str, namespace: str) -> Subject | None:
    """The Service whose own name this is, short or full; it may be an alias itself."""
    labels = host.rstrip(".").split(".")
    if len(labels) > 2 and labels[2] != "svc":
        return None
    target = facts.service(labels[1] if len(labels) > 1 else namespace, labels[0])
    return target if target in evidence.services else None
