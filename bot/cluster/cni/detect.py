"""Which CNI a cluster runs, how it was installed, and what its data plane looks like, from the API alone.

Pure: a recorded snapshot is judged like a live one. Each conclusion leaves a sentence of evidence; where nothing can
be concluded the answer is "unknown" or None, never a guess.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, cast

from bot.cluster.cni.catalogue import AgentKind, CniName, agent_kind, image_version
from bot.cluster.cni.dataplane import (
    Encapsulation,
    active_pools,
    encapsulation_of,
    environment,
    flannel_backends,
    policy_of,
    proxy_of,
)
from bot.cluster.cni.distribution import Distribution, distribution_of
from bot.cluster.objects import Container, DaemonSet, Pod
from bot.cluster.snapshot.snapshot import Snapshot

__all__ = ["CniInventory", "CniName", "Distribution", "Encapsulation", "InstalledBy", "detect_cni"]

InstalledBy = Literal["manifest", "operator", "helm", "k3s", "rke2", "cloud", "unknown"]

_OTHERWISE: frozenset[CniName] = frozenset(
    {"cilium", "gke-dataplane-v2", "antrea", "ovn-kubernetes", "kube-ovn", "aws-vpc-cni", "kindnet"}
)
"""CNIs that enforce policies by eBPF programs, by Open vSwitch, or in a process of their own."""
_CLOUDS: tuple[Distribution, ...] = ("eks", "gke", "aks", "openshift")


@dataclass(frozen=True, slots=True, kw_only=True)
class CniInventory:
    """What is known about the cluster's network; "unknown" and None are honest answers."""

    name: CniName = "unknown"
    version: str = ""
    """Without "v": "3.29.1"; "" when not known."""
    installed_by: InstalledBy = "unknown"
    distribution: Distribution = "unknown"
    encapsulation: Encapsulation = "unknown"
    kube_proxy_mode: str = ""
    """By which Services work: "iptables", "ipvs", "nftables", "ebpf" (then whoever does it), "" when not known."""
    enforces_policy: bool | None = None
    """Whether NetworkPolicies are enforced."""
    pod_cidrs: tuple[str, ...] = ()
    agent_daemon_set: str = ""
    """"namespace/name" of its DaemonSet; "" where it runs inside the distribution's own process (K3s)."""
    agent_pods: dict[str, tuple[str, str, str]] = field(default_factory=dict[str, tuple[str, str, str]])
    """By node: namespace, pod and container of the CNI's running agent."""
    others: tuple[CniName, ...] = ()
    """Further CNIs of which agents run here too: chained for policies, a leftover, or a migration."""
    evidence: tuple[str, ...] = ()
    """Sentences: what each of these was concluded from."""

    @property
    def has_policy_chains(self) -> bool:
        """Whether NetworkPolicies become packet-filter rules, of which the counters tell what they dropped."""
        return self.kube_proxy_mode != "ebpf" and self.name not in _OTHERWISE

    @property
    def runs_cilium(self) -> bool:
        """Whether Cilium's eBPF programs carry the pods' packets, past the kernel's own tables."""
        return self.name in {"cilium", "gke-dataplane-v2"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """An agent that runs here."""

    kind: AgentKind
    container: Container
    daemon_set: DaemonSet | None
    running: int
    is_policy_only: bool = False


def detect_cni(snapshot: Snapshot) -> CniInventory:
    """The inventory; pure, so that recordings are judged alike."""
    distribution, why_distribution = distribution_of(snapshot)
    found = _found(snapshot)
    name, version, why_name, main = _name(snapshot, found, distribution)
    daemon_set = main.daemon_set if main else None
    encapsulation, why_encapsulation = encapsulation_of(snapshot, name, daemon_set)
    mode, why_proxy = proxy_of(snapshot, name, distribution)
    policy, why_policy = policy_of(snapshot, name, distribution, by_agent=_enforcement(found, name))
    installed_by, why_installed = _installed_by(daemon_set, name, distribution)
    sentences = (why_distribution, why_name, why_installed, why_encapsulation, why_proxy, why_policy)
    own: set[CniName] = {"calico", "flannel"} if name == "canal" else {name}
    return CniInventory(
        name=name,
        version=version,
        installed_by=installed_by,
        distribution=distribution,
        encapsulation=encapsulation,
        kube_proxy_mode=mode,
        enforces_policy={"yes": True, "no": False}.get(policy),
        pod_cidrs=_pod_cidrs(snapshot),
        agent_daemon_set=f"{daemon_set.metadata.namespace}/{daemon_set.metadata.name}" if daemon_set else "",
        agent_pods=_agent_pods(snapshot, main),
        others=tuple(dict.fromkeys(each.kind.name for each in found if each.kind.name not in own)),
        evidence=tuple(sentence for sentence in sentences if sentence),
    )


def _found(snapshot: Snapshot) -> list[_Found]:
    """All agents that run here, main candidates first. DaemonSets tell best; where they could not be read, pods do."""
    found = [each for daemon_set in snapshot.daemon_sets for each in _of_daemon_set(daemon_set, snapshot)]
    if not found:
        found = list(_of_pods(_pods(snapshot)))
    return sorted(found, key=lambda each: (each.is_policy_only, -each.running, each.kind.name))


def _of_daemon_set(daemon_set: DaemonSet, snapshot: Snapshot) -> Iterator[_Found]:
    if not daemon_set.status.desired_number_scheduled:
        return
    kinds: set[CniName] = set()
    for container in daemon_set.spec.template.spec.containers:
        kind = agent_kind(container, daemon_set.metadata.name)
        if kind and kind.name not in kinds:
            kinds.add(kind.name)
            yield _Found(
                kind=kind,
                container=container,
                daemon_set=daemon_set,
                running=daemon_set.status.number_ready,
                is_policy_only=kind.name == "calico" and _is_policy_only(daemon_set, snapshot),
            )


def _is_policy_only(calico: DaemonSet, snapshot: Snapshot) -> bool:
    """Whether Calico leaves addresses and routes to another CNI."""
    if environment(calico).get("CALICO_NETWORKING_BACKEND") == "none":
        return True
    specs = (installation.spec.get("cni") for installation in snapshot.custom_objects.get("installations", ()))
    types = (cast("dict[str, object]", cni).get("type", "Calico") for cni in specs if isinstance(cni, dict))
    return any(kind != "Calico" for kind in types)


def _of_pods(pods: Sequence[Pod]) -> Iterator[_Found]:
    running: dict[CniName, list[tuple[AgentKind, Container]]] = {}
    for pod in pods:
        for container in pod.spec.containers:
            if kind := agent_kind(container, pod.metadata.name):
                running.setdefault(kind.name, []).append((kind, container))
    for agents in running.values():
        kind, container = agents[0]
        yield _Found(kind=kind, container=container, daemon_set=None, running=len(agents))


def _pods(snapshot: Snapshot) -> list[Pod]:
    """Every pod of the snapshot, once."""
    every = (*snapshot.pods, *snapshot.dependency_pods, *snapshot.node_pods)
    return list({pod.metadata.uid or id(pod): pod for pod in every}.values())


def _name(
    snapshot: Snapshot, found: Sequence[_Found], distribution: Distribution
) -> tuple[CniName, str, str, _Found | None]:
    """The CNI that makes the pods' network, its version, why, and its agent."""
    by_name = {each.kind.name: each for each in found}
    backends = flannel_backends(snapshot)
    if "flannel" in by_name and "calico" in by_name and _is_canal(by_name["flannel"], by_name["calico"]):
        calico = by_name["calico"]
        return "canal", _version(calico), "Calico's agent runs beside flannel, for policies only.", calico
    networks = [each for each in found if not each.is_policy_only]
    if networks:
        main = networks[0]
        return main.kind.name, _version(main), _sentence(main), main
    if distribution == "k3s" and backends:
        why = f"K3s runs flannel inside its own process (backend {', '.join(sorted(backends))})."
        return "flannel", "", why, None
    if found:
        return found[0].kind.name, _version(found[0]), _sentence(found[0]), found[0]
    return "unknown", "", "No agent of a CNI that we know was found.", None


def _is_canal(flannel: _Found, calico: _Found) -> bool:
    same = flannel.daemon_set is not None and flannel.daemon_set is calico.daemon_set
    return same or calico.is_policy_only


def _version(agent: _Found) -> str:
    return image_version(agent.container.image)


def _sentence(agent: _Found) -> str:
    where = ""
    if agent.daemon_set:
        meta = agent.daemon_set.metadata
        where = f"DaemonSet {meta.namespace}/{meta.name}"
    return f"{where or 'A pod'} runs {agent.container.image} as {agent.container.name}."


def _enforcement(found: Sequence[_Found], name: CniName) -> bool | None:
    """Whether any agent here enforces policies; Calico beside another CNI does it for that one."""
    answers = [each.kind.enforces_policy for each in found]
    if any(answers):
        return True
    own = [each.kind.enforces_policy for each in found if each.kind.name == name]
    return own[0] if own else None


def _installed_by(daemon_set: DaemonSet | None, name: CniName, distribution: Distribution) -> tuple[InstalledBy, str]:
    if daemon_set is None:
        return ("k3s", "") if distribution == "k3s" and name == "flannel" else ("unknown", "")
    meta = daemon_set.metadata
    owner = next((owner for owner in meta.owner_references if owner.api_version.startswith("operator.tigera.io")), None)
    if owner:
        return "operator", f"The DaemonSet belongs to {owner.kind} {owner.name} of the Tigera operator."
    if meta.name.startswith("rke2-"):
        return "rke2", f"DaemonSet {meta.name} comes with RKE2."
    release = meta.annotations.get("meta.helm.sh/release-name")
    if release or meta.labels.get("app.kubernetes.io/managed-by") == "Helm":
        return "helm", f"The DaemonSet is managed by Helm release {release or 'unknown'}."
    if distribution in _CLOUDS:
        return "cloud", f"{distribution} brings it along."
    return "manifest", "The DaemonSet has no owner and no Helm release."


def _pod_cidrs(snapshot: Snapshot) -> tuple[str, ...]:
    """Of Calico's active pools, else of the nodes."""
    pools = [str(pool.spec["cidr"]) for pool in active_pools(snapshot) if pool.spec.get("cidr")]
    if pools:
        return tuple(sorted(set(pools)))
    nodes = (cidr for node in snapshot.nodes for cidr in node.spec.pod_cidrs or (node.spec.pod_cidr,) if cidr)
    return tuple(sorted(set(nodes)))


def _agent_pods(snapshot: Snapshot, main: _Found | None) -> dict[str, tuple[str, str, str]]:
    if main is None:
        return {}
    agents: dict[str, tuple[str, str, str]] = {}
    for pod in sorted(_pods(snapshot), key=lambda pod: (pod.metadata.namespace, pod.metadata.name)):
        if pod.status.phase != "Running" or not pod.spec.host_network:
            continue
        for container in pod.spec.containers:
            kind = agent_kind(container, pod.metadata.name)
            if kind and kind.name == main.kind.name:
                agents.setdefault(pod.spec.node_name, (pod.metadata.namespace, pod.metadata.name, container.name))
    return agents
