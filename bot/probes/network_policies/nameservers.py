"""Do a pod's egress policies let it reach the nameservers that it asks: the DNS Service's pods, or an address?

NodeLocal DNSCache listens on an address of the node (169.254.20.10): a rule for the DNS pods does not take it, only one
for its address does. A question over TCP is an exception that few resolvers make, so that UDP decides.

Source: https://kubernetes.io/docs/tasks/administer-cluster/nodelocaldns/
"""

from collections.abc import Iterator, Sequence

from bot.cluster.objects import NetworkPolicy
from bot.cluster.snapshot.dialled import dialled
from bot.domain import facts
from bot.domain.facts import FactBuilder, Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.policy.enforcement import allowed
from bot.probes.policy.evaluation import Verdict, policy_index
from bot.probes.policy.naming import why_denied
from bot.probes.policy.selectors import address
from bot.probes.services.backends import backends
from bot.probes.services.needed import nameservers_of

OF_NAMES = ("egress_dns_denied", "denied_nameservers", "denied_nameserver_rules", "needs_names")


def observe_names(evidence: Evidence, pod: Subject, egress: Sequence[NetworkPolicy], into: FactBuilder) -> None:
    """Which of its nameservers the pod may not ask, and why."""
    if not egress and not policy_index(evidence).has_hidden:
        into.set(pod, "egress_dns_denied", False)
        into.set(pod, "denied_nameservers", ())
        into.set(pod, "denied_nameserver_rules", ())
        into.set(pod, "needs_names", _needs_a_name(evidence, pod))
        return
    ends = {server: tuple(_behind(evidence, server)) for server in _nameservers(evidence, pod)}
    verdicts = {server: _verdict(evidence, pod, behind) for server, behind in ends.items() if behind}
    if not verdicts:
        into.miss_all(pod, OF_NAMES, "no DNS pod is known")
        return
    denied = [server for server, verdict in verdicts.items() if verdict == "no"]
    unknown = "yes" not in verdicts.values() and len(denied) < len(verdicts)
    value = None if unknown else len(denied) == len(verdicts)
    into.put(pod, "egress_dns_denied", value, "it hangs on labels or addresses that are not known")
    into.set(pod, "denied_nameservers", tuple(denied))
    rules = (
        why
        for server in denied
        for end, port in ends[server][:1]
        for why in (
            *allowed(evidence, pod, end, port, "UDP").egress.hidden,
            *why_denied(evidence, pod, end, port, "UDP", 53),
        )
    )
    into.set(pod, "denied_nameserver_rules", tuple(dict.fromkeys(rules))[:6])
    may_reach = not egress or any(policy.spec.egress for policy in egress)
    into.set(pod, "needs_names", may_reach or _needs_a_name(evidence, pod))


def _nameservers(evidence: Evidence, pod: Subject) -> tuple[str, ...]:
    return tuple(nameservers_of(evidence).get(pod, ()))


def _behind(evidence: Evidence, server: str) -> Iterator[tuple[Subject, int]]:
    """Whom a question meets: the pods behind a DNS Service, a pod, or a bare address."""
    service = next((s for s in evidence.services if evidence.services[s].spec.cluster_ip == server), None)
    if service is None:
        pods = evidence.pods_by_ip.get(server, ())
        yield (pods[0] if pods else facts.node(evidence.node_by_ip.get(server, server))), 53
        return
    for each in backends(evidence, service):
        if each.service_port == 53 and each.protocol == "UDP" and each.pod in evidence.pods and each.pod:
            yield each.pod, each.port


def _verdict(evidence: Evidence, pod: Subject, ends: Sequence[tuple[Subject, int]]) -> Verdict:
    """Whether one of these may be asked: a resolver asks again until it meets that one."""
    found = {allowed(evidence, pod, end, port, "UDP").egress.verdict for end, port in ends}
    return "yes" if "yes" in found else "unknown" if "unknown" in found else "no"


def _needs_a_name(evidence: Evidence, pod: Subject) -> bool:
    known = evidence.pods[pod]
    named = (each for container in known.spec.containers for each in dialled(container))
    return any(address(each.host) is None for each in named) or any(flow.source == pod for flow in evidence.dials)
