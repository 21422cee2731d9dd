"""How ebpf tells what it saw: as WARN or INFO, because other probes state what does not work."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity
from bot.probes.shared.values import listed

NAME = "ebpf"

_Known = Mapping[str, Value]


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for what is detached, stale or silent; INFO for what was dropped; PASS for nodes of which all was read."""
    found = [each for node in table.subjects(SubjectKind.NODE) for each in _node(node, table.of(node))]
    for pod in table.subjects(SubjectKind.POD):
        found += _pod(pod, table.of(pod))
    return found


def _node(node: Subject, known: _Known) -> Iterator[Finding]:
    detached = _texts(known, "ebpf_detached")
    if detached:
        yield _found(node, Severity.WARN, f"eBPF programs of {node.name} are detached: {listed(detached)}")
    if known.get("cni_agent_silent") is True:
        what = f"The agent that fills the eBPF maps of {node.name} has not updated its heartbeat for over 5 s"
        yield _found(node, Severity.WARN, what)
    strange = _texts(known, "ebpf_strange_tunnel_ends")
    if strange:
        yield _found(node, Severity.WARN, f"{node.name} tunnels packets to what is not a node: {listed(strange)}")
    drops = _texts(known, "ebpf_drops")
    if drops:
        yield _found(node, Severity.INFO, f"While the tests ran, eBPF programs of {node.name} dropped {listed(drops)}")
    if detached == () and drops == () and strange == ():
        yield _found(node, Severity.PASS, f"eBPF programs of {node.name} are attached and dropped nothing")


def _pod(pod: Subject, known: _Known) -> Iterator[Finding]:
    if known.get("ebpf_known") is False:
        yield _found(pod, Severity.WARN, f"The eBPF programs of its node do not know {pod.name}: its packets loop")
    nodes = _texts(known, "ebpf_lost_from")
    if nodes:
        yield _found(pod, Severity.WARN, f"Packets for {pod.name} are sent to a wrong place from {listed(nodes)}")


def _texts(known: _Known, key: str) -> tuple[str, ...] | None:
    value = known.get(key)
    return tuple(str(each) for each in value) if isinstance(value, tuple) else None


def _found(subject: Subject, severity: Severity, what: str) -> Finding:
    return Finding(probe=NAME, subject=subject, severity=severity, sentence=f"{what}.")
