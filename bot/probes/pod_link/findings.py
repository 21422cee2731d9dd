"""What pod-link says about links that are broken, and what is worth a note."""

from collections.abc import Iterable, Mapping, Sequence

from bot.domain.facts import FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes.shared.sentences import Who, plural, sharing, unseen

NAME = "pod-link"


_POD_END = {
    "down": "eth0 inside the pod is down",
    "missing": "there is no eth0 inside the pod",
}
_HOST_END = {
    "down": "the node's end of the link is down",
    "missing": "the node's end of the link does not exist",
}


def _broken(known: Mapping[str, Value]) -> str:
    """What is wrong with a link, "" when nothing is."""
    wrong = [_POD_END.get(str(known.get("eth0")), ""), _HOST_END.get(str(known.get("host_link")), "")]
    found = [each for each in wrong if each]
    if not found and known.get("eth0") == "no-carrier":
        found = ["eth0 inside the pod has no carrier"]
    if known.get("address_matches") is False and known.get("eth0") != "missing":
        found.append("no interface of the pod carries the address that the API gives it")
    return " and ".join(found)


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for links that are down or gone, PASS by node, INCONCLUSIVE for pods that could not be inspected."""
    found: list[Finding] = []
    wrong: dict[Subject, str | None] = {}
    good: dict[Subject, str | None] = {}
    for pod in table.subjects(SubjectKind.POD):
        known = table.of(pod)
        if "eth0" not in known and "host_link" not in known:
            continue
        wrong[pod] = _broken(known) or None
        is_good = wrong[pod] is None and known.get("eth0") == "up" and known.get("address_matches") is True
        good[pod] = ("up on both ends" if known.get("host_link") == "up" else "up") if is_good else None
    found += (_failure(table, who, broken) for who, broken in sharing(table, wrong))
    found += (_pass(who, state) for who, state in sharing(table, good, apart=0))
    found += _notes(table)
    found += unseen(table, NAME, SubjectKind.POD, "eth0", "The network link")
    return found


def _failure(table: FactTable, who: Who, broken: str) -> Finding:
    known = table.of(who.pods[0])
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL,
        sentence=f"The network link of {who} is broken: {broken}.",
        evidence={key: known[key] for key in ("eth0", "host_link", "address_matches") if key in known},
        symptom=who.symptom(SymptomKind.POD_LINK_DOWN, "pod"),
    )


def _pass(who: Who, state: str) -> Finding:
    one = len(who.pods) == 1
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.PASS,
        sentence=f"The network {'link' if one else 'links'} of {who} {'is' if one else 'are'} {state}, "
        f"with the {'address' if one else 'addresses'} that the API knows.",
    )


def _notes(table: FactTable) -> Iterable[Finding]:
    notes: dict[Subject, str | None] = {}
    for pod in table.subjects(SubjectKind.POD):
        known = table.of(pod)
        notes[pod], drops = None, known.get("firewall_drops")
        if known.get("ipv6_dad_failed"):
            notes[pod] = "an IPv6 address failed duplicate address detection and is not used"
        elif isinstance(drops, int) and drops > 0:
            notes[pod] = f"{plural(drops, 'rule')} inside the pod's own network namespace can drop packets"
    for who, note in sharing(table, notes):
        severity = Severity.WARN if note.startswith("an IPv6") else Severity.INFO
        yield Finding(probe=NAME, subject=who.subject, severity=severity, sentence=f"On {who}, {note}.")
