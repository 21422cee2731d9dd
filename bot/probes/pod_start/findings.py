"""How pod-start tells what it saw."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bot.domain.facts import CLUSTER, FactTable, Flow, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, Symptom, SymptomKind
from bot.probes.shared.sentences import names
from bot.probes.shared.values import listed, strings

NAME = "pod-start"

_Known = Mapping[str, Value]
_WHY = {
    "taints": "every node that could take {it} has a taint that {it} {does} not tolerate",
    "cordoned": "the nodes are cordoned",
    "resources": "no node has room for {it}",
    "affinity": "no node matches what {it} {asks} for",
    "volumes": "{its} volumes are not available",
    "ports": "the host port is taken on every node",
    "no-nodes": "there are no nodes",
    "gated": "a scheduling gate holds {it} back",
    "no-scheduler": "no scheduler has inspected {it}",
    "other": "no node takes {it}",
}
_IMAGE = {
    "name": "the registry's name does not resolve on the node",
    "connection": "the registry is not reached from the node",
    "denied": "the registry refuses",
    "not-found": "the registry does not have it",
    "limited": "the registry allows no more pulls",
    "certificate": "the registry's certificate is not trusted",
    "other": "it could not be pulled",
}


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN with a symptom for pods asked about that have no node or no image, WARN for such DNS pods."""
    unscheduled: dict[tuple[str, str], list[Subject]] = defaultdict(list)
    without_image: dict[tuple[str, str], list[Subject]] = defaultdict(list)
    for pod in table.subjects(SubjectKind.POD):
        known = table.of(pod)
        if known.get("in_scope") is not True or known.get("is_terminating") is True:
            continue
        reason, error = known.get("unscheduled"), known.get("image_error")
        if isinstance(reason, str) and reason != "no":
            unscheduled[reason, str(known.get("unscheduled_message") or "")].append(pod)
        if isinstance(error, str) and error != "none":
            without_image[error, str(known.get("image_message") or "")].append(pod)
    return (
        *(_unscheduled(table, pods, *state) for state, pods in sorted(unscheduled.items())),
        *(_without_image(table, pods, *state) for state, pods in sorted(without_image.items())),
        *_dns(table.of(CLUSTER)),
    )


def _unscheduled(table: FactTable, pods: Sequence[Subject], reason: str, message: str) -> Finding:
    words = f': "{message}"' if message else ""
    taints = strings(table.of(pods[0]).get("untolerated_taints"))
    return Finding(
        probe=NAME,
        subject=_about(pods),
        severity=Severity.WARN,
        sentence=f"{_who(pods)} not scheduled, because {_why(reason, len(pods))}{words}.",
        evidence={"unscheduled": reason, "untolerated_taints": taints},
        symptom=_symptom(table, pods, "api"),
    )


def _why(reason: str, count: int) -> str:
    one = count == 1
    forms = {"it": "it" if one else "them", "does": "does" if one else "do", "its": "its" if one else "their"}
    if reason in {"taints", "affinity"}:
        forms["it"] = "it" if one else "they" if reason == "affinity" else "them"
    return _WHY.get(reason, _WHY["other"]).format(**forms, asks="asks" if one else "ask")


def _without_image(table: FactTable, pods: Sequence[Subject], error: str, message: str) -> Finding:
    words = f': "{message}"' if message else ""
    wait = "waits" if len(pods) == 1 else "wait"
    name = f"Pod {pods[0].name}" if len(pods) == 1 else f"{len(pods)} pods ({names(pods)})"
    return Finding(
        probe=NAME,
        subject=_about(pods),
        severity=Severity.WARN,
        sentence=f"{name} {wait} for an image: {_IMAGE.get(error, error)}{words}.",
        evidence={"image_error": error},
        symptom=_symptom(table, pods, "application"),
    )


def _who(pods: Sequence[Subject]) -> str:
    return f"Pod {pods[0].name} is" if len(pods) == 1 else f"{len(pods)} pods ({names(pods)}) are"


def _about(pods: Sequence[Subject]) -> Subject:
    return pods[0] if len(pods) == 1 else CLUSTER


def _symptom(table: FactTable, pods: Sequence[Subject], hop: str) -> Symptom | None:
    """None while all are young: an autoscaler may be adding a node, an image may be on its way."""
    if all(table.of(pod).get("is_young") is True for pod in pods):
        return None
    hosts = table.relations.node_of_pod
    flows = tuple(Flow(source=pod, source_node=hosts.get(pod)) for pod in pods) if len(pods) > 1 else ()
    return Symptom(
        kind=SymptomKind.PODS_NOT_READY,
        subject=_about(pods),
        hop="api" if hop == "api" else "application",
        flows=flows,
    )


def _dns(cluster: _Known) -> Iterator[Finding]:
    reason, error = cluster.get("dns_unscheduled"), cluster.get("dns_image_error")
    if isinstance(reason, str) and reason != "no":
        words = cluster.get("dns_unscheduled_message")
        said = f': "{words}"' if words else ""
        yield _note(f"None of the DNS pods is scheduled, because {_why(reason, 2)}{said}")
    if isinstance(error, str) and error != "none" and cluster.get("dns_ready_pods") == 0:
        words = cluster.get("dns_image_message")
        yield _note(f"The DNS pods wait for their image ({listed([str(words)])}): {_IMAGE.get(error, error)}")


def _note(what: str) -> Finding:
    return Finding(probe=NAME, subject=CLUSTER, severity=Severity.WARN, sentence=f"{what}.")
