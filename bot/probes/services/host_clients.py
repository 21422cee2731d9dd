"""Clients that share their node's network (hostNetwork): what came of the Services that they need.

They have no network of their own to send from: what their node's root namespace reaches, they reach, and no more.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.domain import facts
from bot.domain.facts import Ends, Subject
from bot.domain.flows import NeededFlow
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.services.attempts import ServiceTest, tests_by_service
from bot.probes.services.backends import backends, namespace_of
from bot.probes.services.needed import clients_of
from bot.probes.shared.reach import aggregate, in_words

DIALLED_BY = frozenset({"playbook", "environment", "arguments", "socket"})
"""How a flow is known to be needed that must be tried: a connection that stands was seen to work, DNS asks itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostClient:
    """A client with its node's network, a Service's port that it needs, and how its node fares with that."""

    flow: NeededFlow
    node: str
    reach: str
    is_permitted: bool
    """No NetworkPolicy has a part in what failed, by the API."""
    ends: tuple[Subject | None, ...]
    """The endpoints that the node does not reach directly either; where it reaches all of them, all."""

    @property
    def ways(self) -> Sequence[Ends]:
        """From the client to each of these."""
        return [(self.flow.source, end) for end in self.ends]

    @property
    def words(self) -> str:
        """In words: "edge/agent on node-1 got no answer (its variable DB_URL names db:5432)"."""
        return f"{self.flow.source.name} on {self.node} {in_words(self.reach)} ({self.flow.why})"


def place_of(evidence: Evidence, source: Subject) -> Subject:
    """Where a pod sends from: itself, or its node whose network it shares."""
    pod = evidence.pods.get(source)
    return facts.node(evidence.node_of(source)) if pod is not None and pod.spec.host_network else source


@once_per_evidence
def host_clients(evidence: Evidence) -> Mapping[Subject, Sequence[HostClient]]:
    """By Service its running clients of this sort whose node tried it: of those asked about, and of what is theirs."""
    found: dict[Subject, list[HostClient]] = defaultdict(list)
    tests, asked = tests_by_service(evidence), frozenset(evidence.scope_pods)
    for (service, port), clients in clients_of(evidence).items():
        if service not in tests:
            continue
        is_own = namespace_of(service) == evidence.snapshot.namespace
        for source, flow in clients.items():
            node = place_of(evidence, source)
            if node == source or not (is_own or source in asked) or flow.known_by not in DIALLED_BY:
                continue
            if evidence.pods[source].status.phase != "Running":
                continue
            tried = [each for each in tests[service].vip if _is_of(each, node, port, flow)]
            if reach := aggregate(each.reach for each in tried):
                found[service].append(
                    HostClient(
                        flow=flow,
                        node=node.name,
                        reach=reach,
                        is_permitted=all(each.permitted == "yes" for each in tried if each.reach != "ok"),
                        ends=_ends(
                            evidence, service, port, [each for each in tests[service].direct if each.source == node]
                        ),
                    )
                )
    return found


def _is_of(test: ServiceTest, node: Subject, port: int, flow: NeededFlow) -> bool:
    return test.source == node and test.port == port and test.protocol == flow.protocol


def _ends(evidence: Evidence, service: Subject, port: int, direct: Sequence[ServiceTest]) -> tuple[Subject | None, ...]:
    nodes = evidence.node_by_ip

    def end(pod: Subject | None, ip: str) -> Subject | None:
        return pod or (facts.node(nodes[ip]) if ip in nodes else None)

    dead = [end(each.backend, each.ip) for each in direct if each.port == port and each.reach != "ok"]
    ready = (each for each in backends(evidence, service) if each.is_ready and each.service_port == port)
    return tuple(dict.fromkeys(dead or [end(each.pod, each.ip) for each in ready])) or (None,)
