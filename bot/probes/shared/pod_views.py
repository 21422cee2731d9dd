"""Who could be inspected, by whom, and why not: what every probe asks before it says that something is missing."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bot.agent.report import Link, NetnsState, NodeReport, PodReport
from bot.cluster.objects import Pod
from bot.domain.facts import Rung, Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """A node's root namespace, indexed."""

    name: str
    report: NodeReport
    rung: Rung
    links: Mapping[str, Link]
    by_index: Mapping[int, Link]

    @property
    def state(self) -> NetnsState:
        """The namespace as it stands."""
        return self.report.root

    @property
    def is_ours(self) -> bool:
        """Whether our own agent looked, which sees everything: then an empty list means that there was none."""
        return self.rung is Rung.AGENT

    def why_missing(self, *places: str) -> str:
        """Why the report lacks something, as the report itself says it; "" when it does not say."""
        return self.report.why_missing(*places)


@dataclass(frozen=True, slots=True, kw_only=True)
class PodView:
    """A pod with its own network, and what was seen of it."""

    subject: Subject
    pod: Pod
    root: NodeView | None
    seen: PodReport | None
    """None when its network namespace was not found or its node not inspected: `why` says which."""
    why: str = ""
    is_absent: bool = False
    """Our own agent looked for the namespace and did not find it."""

    @property
    def state(self) -> NetnsState | None:
        """The state of the pod's own namespace."""
        return self.seen.state if self.seen else None

    def has_read(self, part: Literal["addresses", "routes", "neighbours"]) -> bool:
        """Whether this list of the pod's own namespace was read: then an empty one means that there was none."""
        state = self.state
        if state is None:
            return False
        is_by_agent = self.root is not None and self.root.is_ours and bool(state.links)
        return bool(getattr(state, part)) or part in state.shown or is_by_agent

    def sysctl(self, key: str) -> int | None:
        """A number from the root namespace's sysctls, None when it was not read."""
        return sysctl(self.root.state, key) if self.root else None


def node_views(evidence: Evidence) -> dict[str, NodeView]:
    """The root namespace of each node that was inspected."""
    return {
        name: NodeView(
            name=name,
            report=report,
            rung=evidence.rungs.get(name, Rung.AGENT),
            links={link.name: link for link in report.root.links},
            by_index={link.ifindex: link for link in report.root.links},
        )
        for name, report in evidence.reports.items()
    }


@once_per_evidence
def observable_pods(evidence: Evidence) -> tuple[PodView, ...]:
    """Each pod that has its own network and should have been inspected, in order of name.

    That is: the pods asked about, and every other pod that a node's report speaks of. Pods that share their node's
    network, or have not got an address yet, are left to the API's own facts.
    """
    return tuple(_observable_pods(evidence))


def _observable_pods(evidence: Evidence) -> Iterator[PodView]:
    by_node = node_views(evidence)
    reported = {(node, each.uid): each for node, report in evidence.reports.items() for each in report.pods}
    asked = set(evidence.scope_pods)
    for subject in sorted(evidence.pods, key=lambda each: each.name):
        pod = evidence.pods[subject]
        if pod.spec.host_network or not pod.status.pod_ip or not pod.spec.node_name:
            continue
        seen = reported.get((pod.spec.node_name, pod.metadata.uid))
        if seen or subject in asked:
            yield _pod_view(evidence, subject, pod, by_node.get(pod.spec.node_name), seen)


def _pod_view(evidence: Evidence, subject: Subject, pod: Pod, root: NodeView | None, seen: PodReport | None) -> PodView:
    if root is None:
        return PodView(subject=subject, pod=pod, root=None, seen=None, why=evidence.why_no_report(pod.spec.node_name))
    if seen is not None and seen.is_found:
        return PodView(subject=subject, pod=pod, root=root, seen=seen)
    why = seen.why_not if seen else root.why_missing(f"pods.{pod.metadata.uid}", "pods.deadline")
    if not why:
        partial = " (the report is partial)" if root.report.is_partial else ""
        why = f"the report of node {root.name} says nothing about it{partial}"
    is_absent = seen is not None and root.is_ours
    return PodView(subject=subject, pod=pod, root=root, seen=None, why=why, is_absent=is_absent)


def sysctl(state: NetnsState, key: str) -> int | None:
    """A sysctl as a number ("ipv4.ip_forward"), None when it was not read or is none."""
    text = state.sysctls.get(key, "").strip()
    digits = text.removeprefix("-")
    return int(text) if digits.isascii() and digits.isdecimal() and len(digits) < 19 else None


def conf(state: NetnsState, dev: str, key: str) -> int | None:
    """An interface's own value of an ipv4 `conf` sysctl."""
    return sysctl(state, f"ipv4.conf.{dev.replace('.', '/')}.{key}")


def strictest(state: NetnsState, dev: str, key: str) -> int | None:
    """The effective value of a sysctl where the larger of `all` and the interface's own counts (rp_filter, arp_ignore).

    Source: Documentation/networking/ip-sysctl.rst: "The max value from conf/{all,interface}/… is used".
    """
    own, every = conf(state, dev, key), conf(state, "all", key)
    return None if own is None or every is None else max(own, every)


def either(state: NetnsState, dev: str, key: str) -> bool | None:
    """The effective value of a sysctl that holds when `all` or the interface says so (proxy_arp).

    One that says yes settles it; no needs both.
    """
    values = (conf(state, dev, key), conf(state, "all", key))
    if any(values):
        return True
    return None if None in values else False
