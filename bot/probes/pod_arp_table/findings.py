"""What pod-arp-table says about gateways: silent or late, who for, and entries that point elsewhere."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bot.domain.facts import FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes.shared.own_link import cannot_send, is_link_broken
from bot.probes.shared.sentences import Who, sharing, unseen

NAME = "pod-arp-table"
PROMPT_MS = 50.0
"""A healthy node answers within this time: it needs no more than its own scheduler."""
_UNRESOLVED = frozenset({"FAILED", "INCOMPLETE"})


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for gateways that are silent or late, PASS by node, INCONCLUSIVE for pods whose gateway was not asked.

    A pod whose own link is down is left to pod-link: its gateway was never asked.
    """
    pods = {pod: table.of(pod) for pod in table.subjects(SubjectKind.POD)}
    looked = {pod: known for pod, known in pods.items() if known.keys() & {"gateway_arp", "gateway_neigh"}}
    linked = {pod: known for pod, known in looked.items() if not is_link_broken(known)}
    states = {pod: _state(linked[pod]) if pod in linked else None for pod in looked}
    found = [_tell(table, who, state) for who, state in sharing(table, states)]
    good = {
        pod: known.get("gateway_ip") if known.get("gateway_arp") == "answered" else None
        for pod, known in looked.items()
    }
    found += (_pass(table, who, gateway) for who, gateway in sharing(table, good, apart=0))
    found += _wrong_macs(table, linked)
    found += _several_macs(table, linked)
    found += unseen(table, NAME, SubjectKind.POD, "gateway_arp", "The gateway's answer to ARP requests", cannot_send)
    return found


_State = tuple[str, str, Value, Value, bool]
"""Gateway, what happened, answers, requests, and whether the pod is young: what pods in one finding share."""


def _state(known: Mapping[str, Value]) -> _State | None:
    gateway = str(known.get("gateway_ip") or "of the node")
    arp, is_young = known.get("gateway_arp"), known.get("is_young") is True
    if arp in {"silent", "partial"}:
        return (gateway, str(arp), known.get("gateway_answers", 0), known.get("gateway_requests", 0), is_young)
    if arp == "late":
        return (gateway, "late", 0, 0, is_young)
    if arp is None and known.get("gateway_neigh") in _UNRESOLVED:
        return (gateway, str(known["gateway_neigh"]), 0, 0, is_young)
    return None


def _tell(table: FactTable, who: Who, state: _State) -> Finding:
    gateway, kind, answers, requests, is_young = state
    is_late = kind in {"late", "partial"}
    young = " Younger than two minutes: check again before drawing conclusions." if is_young else ""
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL,
        sentence=_sentence(table, who, gateway, kind, (answers, requests)) + young,
        evidence=_evidence(table, who),
        symptom=who.symptom(SymptomKind.GATEWAY_LATE if is_late else SymptomKind.GATEWAY_SILENT, "gateway"),
    )


def _sentence(table: FactTable, who: Who, gateway: str, kind: str, counts: tuple[Value, Value]) -> str:
    answers, requests = counts
    slowest = _slowest(table, who.pods)
    match kind:
        case "silent":
            asked = (
                f"none of {requests} ARP requests" if isinstance(requests, int) and requests > 1 else "no ARP request"
            )
            return f"Gateway {gateway} answered {asked} from {who}."
        case "partial":
            return f"Gateway {gateway} answered only {answers} of {requests} ARP requests from {who}."
        case "late":
            return (
                f"Gateway {gateway} answered ARP requests from {who} only after up to {slowest:.0f} ms "
                f"(a healthy node answers within {PROMPT_MS:g} ms)."
            )
        case _:
            entry = "neighbour table" if len(who.pods) == 1 else "neighbour tables"
            return f"Gateway {gateway} is {kind} in the {entry} of {who}: its last ARP requests were not answered."


def _slowest(table: FactTable, pods: Iterable[Subject]) -> float:
    values = (table.of(pod).get("gateway_arp_max_ms") for pod in pods)
    return max((float(each) for each in values if isinstance(each, int | float)), default=0.0)


def _evidence(table: FactTable, who: Who) -> dict[str, Value]:
    known = table.of(who.pods[0])
    keys = ("gateway_ip", "gateway_arp", "gateway_neigh", "gateway_answers", "gateway_requests", "gateway_arp_max_ms")
    return {key: known[key] for key in keys if key in known}


def _pass(table: FactTable, who: Who, gateway: Value) -> Finding:
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.PASS,
        sentence=f"Gateway {gateway} answered every ARP request from {who} within {_slowest(table, who.pods):.1f} ms.",
    )


def _wrong_macs(table: FactTable, pods: Mapping[Subject, Mapping[str, Value]]) -> Iterator[Finding]:
    """Entries that point elsewhere: WARN beside a test that says that the pod is cut off, else FAIL.

    Where tests succeed nevertheless, our own ARP request has corrected the entry: until then nothing came through.
    """
    wrong: dict[Subject, str | None] = {}
    for pod, known in pods.items():
        ways = {known.get("reach_own_node"), known.get("node_reaches_pod")} - {None}
        tested = "corrected" if "ok" in ways else "observed" if ways else "untested"
        wrong[pod] = tested if known.get("gateway_mac_matches") is False else None
    for who, tested in sharing(table, wrong, apart=len(wrong)):
        known = table.of(who.pods[0])
        entry = "entry holds a MAC address" if len(who.pods) == 1 else "entries hold MAC addresses"
        cure = "; asking for it by ARP seems to have corrected that" if tested == "corrected" else ""
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.WARN if tested == "observed" else Severity.FAIL,
            sentence=f"In {who}, the gateway's neighbour {entry} that the node does not answer with "
            f"({known.get('gateway_ip', 'gateway')} is {known.get('gateway_neigh', 'resolved')}){cure}.",
            evidence=_evidence(table, who),
            symptom=None if tested == "observed" else who.symptom(SymptomKind.POD_ISOLATED, "gateway"),
        )


def _several_macs(table: FactTable, pods: Mapping[Subject, Mapping[str, Value]]) -> Iterator[Finding]:
    counts: dict[Subject, Value | None] = {}
    for pod, known in pods.items():
        macs = known.get("gateway_macs")
        counts[pod] = macs if isinstance(macs, int) and macs > 1 else None
    for who, macs in sharing(table, counts):
        yield Finding(
            probe=NAME,
            subject=who.subject,
            severity=Severity.WARN,
            sentence=f"{macs} MAC addresses answered ARP requests for the gateway from {who}: two devices claim it.",
        )
