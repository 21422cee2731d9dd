"""How overlay tells what it saw: as WARN, because pod-matrix states what does not work."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind, Value, node
from bot.domain.finding import Finding, Severity
from bot.probes.shared.sentences import plural, unseen
from bot.probes.shared.values import listed

NAME = "overlay"

_Known = Mapping[str, Value]
_PAIR_WORDS: Mapping[tuple[str, Value], str] = {
    ("route_to_block", "missing"): "has no route to the pods of",
    ("route_to_block", "blackhole"): "drops packets for the pods of",
    ("route_to_block", "wrong-next-hop"): "routes by a next hop that is not that node to the pods of",
    ("route_to_block", "wrong-device"): "routes by a wrong device to the pods of",
    ("fdb", "missing"): "has no forwarding entry for the tunnel to",
    ("fdb", "wrong-ip"): "has a wrong address for the tunnel to",
    ("fdb", "wrong-port"): "uses a wrong UDP port for the tunnel to",
    ("fdb", "wrong-vni"): "uses a wrong VNI for the tunnel to",
    ("vtep_neigh", "missing"): "has no neighbour entry for the tunnel to",
    ("vtep_neigh", "wrong-mac"): "has a wrong MAC address for the tunnel to",
    ("vni_matches", False): "uses another network identifier (VNI) than",
    ("port_matches", False): "uses another UDP port for the tunnel than",
}


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for each node's own end that is wrong and for each node's wrong tables; PASS when all agree."""
    found = [finding for each in table.subjects(SubjectKind.NODE) for finding in _node(each, table.of(each))]
    found += _pairs(table)
    if not found:
        found += _pass(table)
    return (*found, *unseen(table, NAME, SubjectKind.NODE, "overlay_device", "The overlay's end"))


def _node(subject: Subject, known: _Known) -> Iterator[Finding]:
    name, device = subject.name, known.get("overlay_name", "its tunnel")
    state = known.get("overlay_device")
    cut_off = "its pods cannot reach pods of other nodes through it"
    if state == "down":
        yield _warn(subject, f"The tunnel device {device} of {name} is down: {cut_off}", known)
    if state == "missing":
        yield _warn(subject, f"{name} has no tunnel device {device}: {cut_off}", known)
    if known.get("overlay_mac_matches") is False:
        what = f"{device} of {name} has another MAC address than its peers send to, so it drops their packets"
        yield _warn(subject, what, known)
    if known.get("declared_ip_matches") is False:
        what = f"The address that the CNI declares for {name} is not that node's, or another node declares it too"
        yield _warn(subject, what, known)
    errors = known.get("udp_in_csum_delta")
    if isinstance(errors, int) and errors > 0:
        what = f"{plural(errors, 'UDP packet')} arrived at {name} with a wrong checksum during the tests"
        yield _warn(subject, what, known)


def _warn(subject: Subject, what: str, known: _Known) -> Finding:
    keys = ("overlay_device", "overlay_name", "overlay_mac_matches", "declared_ip_matches", "udp_in_csum_delta")
    return Finding(
        probe=NAME,
        subject=subject,
        severity=Severity.WARN,
        sentence=f"{what}.",
        evidence={key: known[key] for key in keys if key in known},
    )


def _pairs(table: FactTable) -> Iterator[Finding]:
    """By source and what is wrong, all destinations together."""
    wrong: dict[tuple[str, str, Value], list[str]] = defaultdict(list)
    for pair in table.subjects(SubjectKind.PAIR):
        source, destination = (end.name for end in pair.ends)
        known = table.of(pair)
        for key, value in _PAIR_WORDS:
            if key in known and known[key] == value and type(known[key]) is type(value):
                wrong[source, key, value].append(destination)
    for (source, key, value), destinations in wrong.items():
        one = len(destinations) == 1
        yield Finding(
            probe=NAME,
            subject=Subject(SubjectKind.PAIR, f"{source}>{destinations[0]}") if one else node(source),
            severity=Severity.WARN,
            sentence=f"{source} {_PAIR_WORDS[key, value]} {listed(destinations)}.",
            evidence={key: value},
        )


def _pass(table: FactTable) -> Iterator[Finding]:
    pairs = [pair for pair in table.subjects(SubjectKind.PAIR) if table.of(pair).get("route_to_block") == "present"]
    checked = [pair for pair in pairs if table.of(pair).get("fdb") == "ok" == table.of(pair).get("vtep_neigh")]
    if not pairs:
        return
    ways = plural(len(pairs), "direction")
    tables = " and every forwarding and neighbour entry of the tunnels is right" if len(checked) == len(pairs) else ""
    one = len(pairs) == 1
    yield Finding(
        probe=NAME,
        subject=pairs[0] if one else CLUSTER,
        severity=Severity.PASS,
        sentence=f"Routes to the pods of other nodes are there ({ways} between nodes inspected){tables}.",
    )
