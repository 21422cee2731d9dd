"""Which Service of the cluster a pod means by a name or an address that it is configured to dial."""

from collections.abc import Sequence

from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.selectors import address
from bot.probes.services.backends import service_by_ip

MAX_ALIASES = 4
FULL_LABELS = 4
"""A Service's full name has more than "db.shop.svc": its zone."""


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
        found = named_service(evidence, f"{alias.rstrip('.')}.", "")  # a nameserver completes no alias
    return None


def named_service(evidence: Evidence, host: str, namespace: str) -> Subject | None:
    """The Service whose own name this is, short or full; it may be an alias itself."""
    labels = service_labels(host)
    if not labels:
        return None
    target = facts.service(labels[1] if len(labels) > 1 else namespace, labels[0])
    return target if target in evidence.services else None


def service_labels(host: str) -> Sequence[str]:
    """The labels of a name that has a Service's form: its own, its namespace's, "svc", the zone's; () of any other.

    An absolute name, with a dot at its end, is asked for as it is, so that only the full one is a Service's: "db." and
    "db.shop.svc." are not. Which zone it names is not asked here.

    Source: https://man7.org/linux/man-pages/man5/resolv.conf.5.html (search)
    """
    labels = host.rstrip(".").split(".")
    if len(labels) > 2 and labels[2] != "svc":
        return ()
    return () if cut_short(host) else labels


def cut_short(host: str) -> bool:
    """Whether a name is absolute, and of a Service's form but for the zone that it lacks."""
    labels = host.rstrip(".").split(".")
    return host.endswith(".") and len(labels) < FULL_LABELS and labels[2:3] in ([], ["svc"])
