"""How cni-inventory tells what it saw."""

from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity
from bot.probes.shared.values import listed, strings

NAME = "cni-inventory"

_Known = Mapping[str, Value]


def judge(table: FactTable) -> Sequence[Finding]:
    """INFO: what this cluster runs, and what others left. WARN for missing agents and a bridge that is not in order."""
    cluster = table.of(CLUSTER)
    found = [*_identity(cluster), *_ranges(cluster)]
    agents: list[str] = []
    for node in table.subjects(SubjectKind.NODE):
        known = table.of(node)
        for severity, notes in ((Severity.WARN, _node), (Severity.INFO, _remains)):
            found += (
                Finding(probe=NAME, subject=node, severity=severity, sentence=f"{what}.", evidence=_evidence(known))
                for what in notes(node, known)
            )
        if known.get("cni_agent") == "ready":
            agents.append(node.name)
    return (*found, *_pass(table, cluster, agents))


def _identity(cluster: _Known) -> Iterator[Finding]:
    cni = cluster.get("cni")
    if not isinstance(cni, str):
        return
    if cni == "unknown":
        yield Finding(
            probe=NAME,
            subject=CLUSTER,
            severity=Severity.INFO,
            sentence="The CNI of this cluster could not be identified; everything is judged without knowledge of it.",
        )
        return
    parts = [
        f"{cni} {cluster['cni_version']}" if "cni_version" in cluster else cni,
        *(f"{label}{cluster[key]}" for key, label in _LABELS.items() if cluster.get(key, "unknown") != "unknown"),
    ]
    yield Finding(
        probe=NAME,
        subject=CLUSTER,
        severity=Severity.INFO,
        sentence=f"The pod network is provided by {', '.join(parts)}.",
        evidence={key: cluster[key] for key in ("cni", "cni_version", *_LABELS) if key in cluster},
    )


_LABELS = {
    "encapsulation": "encapsulation ",
    "proxy": "Services by ",
    "distribution": "distribution ",
    "installed_by": "installed by ",
    "kubernetes_version": "Kubernetes ",
}


def _ranges(cluster: _Known) -> Iterator[Finding]:
    if cluster.get("pools_enabled") == 0 and cluster.get("cni") == "calico":
        yield _about_cluster("No IPPool is enabled: no new pod gets an address")
    if cluster.get("pool_outside_cluster_cidr") is True:
        yield _about_cluster("An enabled IPPool lies outside the range that the cluster was set up with")
    if cluster.get("pods_two_cidrs") is True:
        yield _about_cluster("Some pods have addresses from ranges handed out now, others from none of them")


def _about_cluster(what: str) -> Finding:
    return Finding(probe=NAME, subject=CLUSTER, severity=Severity.WARN, sentence=f"{what}.")


def _node(node: Subject, known: _Known) -> Iterator[str]:
    agent, restarts = known.get("cni_agent"), known.get("cni_agent_restarts")
    again = f", restarted {restarts} times" if isinstance(restarts, int) and restarts else ""
    if agent == "not-ready":
        yield f"The CNI's agent on {node.name} is not ready{again}"
    if agent == "missing":
        yield f"The CNI's agent does not run on {node.name}"
    files = known.get("conf_files")
    if files == 0:
        yield f"{node.name} has no CNI configuration: no new pod gets a network there"
    if "cni0" in strings(known.get("leftovers")):
        return  # Nobody's bridge now: whether it is in order matters to no pod.
    if known.get("cni0") == "down":
        yield f"The bridge cni0 on {node.name} is down: none of its pods is connected"
    if known.get("cni0") == "missing":
        yield f"The bridge cni0 on {node.name} is missing though there are pods"
    if known.get("cni0_address_matches") is False:
        yield f"The bridge cni0 on {node.name} has an address outside the node's range of pod addresses"


def _remains(node: Subject, known: _Known) -> Iterator[str]:
    """What earlier installations left, harmless by itself."""
    left, cnis = strings(known.get("leftovers")), strings(known.get("conf_cnis"))
    if left:
        yield f"{node.name} has leftovers of another CNI: {listed(left)}"
    if len(set(cnis)) > 1:
        yield f"{node.name} has configuration files of several CNIs ({listed(cnis)}); the first by name counts"


def _evidence(known: _Known) -> Mapping[str, Value]:
    keys = ("cni_agent", "cni_agent_restarts", "leftovers", "conf_files", "conf_cnis", "cni0", "cni0_address_matches")
    return {key: known[key] for key in keys if key in known}


def _pass(table: FactTable, cluster: _Known, agents: Sequence[str]) -> Iterator[Finding]:
    states = [table.of(node).get("cni_agent") for node in table.subjects(SubjectKind.NODE)]
    if agents and len(agents) == len(states):
        where = f"on {agents[0]}" if len(agents) == 1 else f"on each of {len(agents)} nodes"
        sentence = f"The agent of {cluster.get('cni', 'the CNI')} is ready {where}."
        yield Finding(probe=NAME, subject=CLUSTER, severity=Severity.PASS, sentence=sentence)
