"""Pods that share their node's network (hostNetwork) and ask the cluster's DNS: dnsPolicy ClusterFirstWithHostNet.

Source: https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/#pod-s-dns-policy
"""

from collections.abc import Iterator

from bot.domain import facts
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.services.attempts import asked_of_dns_services
from bot.probes.services.needed import nameservers_of


def host_pods_asking(evidence: Evidence) -> Iterator[tuple[Subject, Subject]]:
    """Those asked about that run, each with the DNS Service that it asks first.

    Not those whose node fails by a NetworkPolicy of the DNS pods, or perhaps by one: network-policies tells of them.
    """
    at = {evidence.services[service].spec.cluster_ip: service for service in evidence.dns_services}
    asked = asked_of_dns_services(evidence)
    for pod in evidence.scope_pods:
        known = evidence.pods[pod]
        if not known.spec.host_network or known.status.phase != "Running":
            continue
        service = at.get(next(iter(nameservers_of(evidence).get(pod, ())), ""))
        if service is None:
            continue
        node = facts.node(evidence.node_of(pod))
        own = [each for each in asked[service].vip if each.source == node] if service in asked else []
        if all(each.permitted == "yes" for each in own if each.reach != "ok"):
            yield pod, service
