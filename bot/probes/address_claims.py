"""Does a Service claim an address that is somebody else's, and does something fail there?

`bot.probes.services.claims` says which claims there are. What is claimed and works is a note; of what is claimed and
fails, the nodes' own rules show where it is led.

Source: https://github.com/kubernetes/kubernetes/issues/97076 (CVE-2020-8554)
Source: https://kubernetes.io/docs/concepts/services-networking/service/#external-ips
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import get_args

from bot.domain.facts import CLUSTER, FactBuilder, FactTable, Subject, SubjectKind
from bot.domain.finding import Finding, Severity
from bot.domain.listing import and_more
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import API, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.services.claims import Claim, How, claims, failing_at, programmed, why_no_rules_of
from bot.probes.shared.pod_views import observable_pods
from bot.probes.shared.values import strings

NAME = "address-claims"
LISTED = 10
_LOOK = "kubectl get services -A -o wide"
_CLAIMANT = ("claimant_namespace", "claimant_name", "claimed_by")
_KEYS = ("claims", "claims_programmed", *_CLAIMANT)

FACTS = (
    fact(
        "cluster.address_claims",
        "list",
        "Services that claim an address of somebody else's (a resolver, a pod, another Service; of nodes only where "
        "something fails there).",
        look=_LOOK,
        rungs=API,
    ),
    *(
        spec
        for kind, whose in (
            ("cluster", "a resolver that the cluster asks"),
            ("service", "the Service's ClusterIP"),
            ("pod", "the pod's address"),
        )
        for spec in (
            fact(
                f"{kind}.claims",
                "list",
                f"Claims of other Services to {whose}, of those at whose address and port something fails.",
                look=_LOOK,
            ),
            fact(
                f"{kind}.claims_programmed",
                "list",
                "Where a node's rules lead what is sent to these addresses.",
                look="nft list ruleset  # on <node>",
            ),
            fact(f"{kind}.claimant_namespace", "str", "The namespace of the first of these Services.", look=_LOOK),
            fact(f"{kind}.claimant_name", "str", "The name of the first of these Services.", look=_LOOK),
            fact(
                f"{kind}.claimed_by",
                "str",
                "By what the first of them claims the address.",
                look=_LOOK,
                values=("", *get_args(How)),
            ),
        )
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """Claims, and what came of them, by whose address it is."""
    why = "" if evidence.snapshot.claiming_services is not None else "Services of all namespaces were not read"
    found: dict[Subject, list[Claim]] = defaultdict(list)
    worth: list[str] = []
    for claim in claims(evidence):
        how = failing_at(evidence, claim)
        is_of_node = claim.victim is not None and claim.victim.kind is SubjectKind.NODE
        if how or not is_of_node:
            worth.append(claim.text + (f"; {how}" if how else ""))
        if how and (victim := CLUSTER if claim.is_resolver else claim.victim):
            found[victim].append(claim)
    into.put(CLUSTER, "address_claims", tuple(worth)[:LISTED] if worth or not why else None, why)
    pods = (view.subject for view in observable_pods(evidence))
    for subject in dict.fromkeys((CLUSTER, *evidence.services, *pods)):
        _put(evidence, into, subject, found.get(subject, ()), why)


def _put(evidence: Evidence, into: FactBuilder, subject: Subject, failing: Sequence[Claim], why: str) -> None:
    if why and not failing:
        into.miss_all(subject, _KEYS, why)
        return
    words = [f"{claim.text}; {failing_at(evidence, claim)}" for claim in failing]
    into.set(subject, "claims", tuple(words)[:LISTED])
    led = tuple(dict.fromkeys(filter(None, (programmed(evidence, claim) for claim in failing))))
    unknown = next((text for claim in failing if (text := why_no_rules_of(evidence, claim))), "")
    into.put(subject, "claims_programmed", led[:LISTED] if led or not unknown else None, unknown)
    first = failing[0] if failing else None
    namespace, _, name = first.service.name.partition("/") if first else ("", "", "")
    for key, value in zip(_CLAIMANT, (namespace, name, first.how if first else ""), strict=True):
        into.set(subject, key, value)


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for claims; what fails of it is reported by those whose flows these are."""
    return list(_judge(table))


def _judge(table: FactTable) -> Iterator[Finding]:
    known = table.of(CLUSTER)
    if found := strings(known.get("address_claims")):
        yield Finding(
            probe=NAME,
            subject=CLUSTER,
            severity=Severity.WARN,
            sentence=f"{and_more(found, 3, by='. ')}.",
            evidence={"address_claims": found},
        )


PROBE = Probe(
    name=NAME,
    question="Does a Service claim an address that is somebody else's, and does something fail there?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
