"""How path-mtu tells what it saw."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Flow, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Hop, Severity, Symptom, SymptomKind
from bot.domain.listing import and_more
from bot.probes.shared.sentences import plural
from bot.probes.shared.values import strings

NAME = "path-mtu"

_Known = Mapping[str, Value]


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for each direction that loses large packets silently, WARN for routers that must say no, else PASS."""
    found: list[Finding] = []
    sizes: list[int] = []
    for pair in table.subjects(SubjectKind.PAIR):
        known = table.of(pair)
        found += _pair(pair, known)
        largest = known.get("largest_ok_bytes")
        if known.get("mtu") == "ok" and isinstance(largest, int):
            sizes.append(largest)
    found += _different(table)
    for each in table.subjects(SubjectKind.NODE):
        fails = table.of(each).get("fragfails_delta")
        if isinstance(fails, int) and fails > 0 and not any(f.severity is Severity.FAIL for f in found):
            found.append(_info(each, f"{plural(fails, 'packet')} needed fragmentation on {each.name} and forbade it"))
    return (*found, *_pass(sizes))


def _pair(pair: Subject, known: _Known) -> Iterator[Finding]:
    source, destination = (end.name for end in pair.ends)
    state, largest, lost = (known.get(key) for key in ("mtu", "largest_ok_bytes", "first_lost_bytes"))
    if state == "black-hole":
        also = " The same happens between the nodes themselves." if known.get("node_mtu") == "black-hole" else ""
        alone = " Between the nodes themselves all sizes get through." if known.get("node_mtu") == "ok" else ""
        yield Finding(
            probe=NAME,
            subject=pair,
            severity=Severity.FAIL,
            sentence=f"From pods on {source} to pods on {destination}, packets of {lost} bytes and more are lost "
            f"silently; {largest} bytes get through.{also}{alone}",
            evidence={
                key: known[key] for key in ("mtu", "node_mtu", "largest_ok_bytes", "first_lost_bytes") if key in known
            },
            symptom=_symptom(pair),
        )
    elif state == "frag-needed":
        yield Finding(
            probe=NAME,
            subject=pair,
            severity=Severity.WARN,
            sentence=f'From pods on {source} to pods on {destination}, a router answers "fragmentation needed" above '
            f"{largest} bytes: this works while nobody filters ICMP.",
            evidence={key: known[key] for key in ("mtu", "largest_ok_bytes") if key in known},
            symptom=_symptom(pair),
        )
    if known.get("mtu_uneven"):
        yield Finding(
            probe=NAME,
            subject=pair,
            severity=Severity.WARN,
            sentence=f"From pods on {source} to pods on {destination}, large packets of one pod are lost and those of "
            "another arrive: not the path loses them, but that pod, or chance.",
            evidence={"mtu_uneven": True},
        )
    if known.get("node_mtu") == "black-hole" and state != "black-hole":
        yield _between_nodes(pair, known)


def _between_nodes(pair: Subject, known: _Known) -> Finding:
    """FAIL where somebody needs what is lost, else WARN with the reason."""
    source, destination = (end.name for end in pair.ends)
    users = strings(known.get("node_path_users"))
    lost = f"packets of {known['node_first_lost_bytes']} bytes and more are lost silently"
    says = f"From {source} to {destination} (node to node), {lost}"
    if users:
        return Finding(
            probe=NAME,
            subject=pair,
            severity=Severity.FAIL,
            sentence=f"{says}. Affected: {and_more(users, 3)}.",
            evidence={"node_mtu": "black-hole", "node_path_users": tuple(users)},
            symptom=_symptom(pair, "underlay"),
        )
    through = "; packets between pods get through" if known.get("mtu") == "ok" else ""
    return Finding(
        probe=NAME,
        subject=pair,
        severity=Severity.WARN,
        sentence=f"{says}. No connection that is known to be needed goes that way{through}.",
        evidence={"node_mtu": "black-hole"},
    )


def _symptom(pair: Subject, hop: Hop = "overlay") -> Symptom:
    source, destination = pair.ends
    flow = Flow(source=source, target=destination, source_node=source, target_node=destination)
    return Symptom(kind=SymptomKind.LARGE_PACKETS_LOST, subject=pair, hop=hop, flows=(flow,))


def _different(table: FactTable) -> Iterator[Finding]:
    mtus = {each: table.of(each).get("uplink_mtu_bytes") for each in table.subjects(SubjectKind.NODE)}
    yield from _outliers("uplink", mtus)
    pods = {each: table.of(each).get("pod_mtu_bytes") for each in table.subjects(SubjectKind.NODE)}
    yield from _outliers("pods'", pods)


def _outliers(what: str, mtus: Mapping[Subject, Value | None]) -> Iterator[Finding]:
    by_size: dict[int, list[str]] = {}
    for each, size in mtus.items():
        if isinstance(size, int):
            by_size.setdefault(size, []).append(each.name)
    if len(by_size) > 1:
        parts = "; ".join(f"{size} bytes on {and_more(names, 3)}" for size, names in sorted(by_size.items()))
        yield _info(CLUSTER, f"The {what} MTU is not the same on all nodes: {parts}")


def _info(subject: Subject, what: str) -> Finding:
    return Finding(probe=NAME, subject=subject, severity=Severity.INFO, sentence=f"{what}.")


def _pass(sizes: Sequence[int]) -> Iterator[Finding]:
    if sizes:
        ways = "in the one direction" if len(sizes) == 1 else f"in all {len(sizes)} directions"
        sentence = f"Between pods of different nodes, packets of up to {min(sizes)} bytes get through {ways} tried."
        yield Finding(probe=NAME, subject=CLUSTER, severity=Severity.PASS, sentence=sentence)
