"""What kubelet asks a pod, and what its events say came of it.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes
"""

import re
from collections.abc import Collection, Mapping
from datetime import timedelta

from bot.cluster.objects import Container, Event, Pod, ProbeSpec
from bot.domain.foreign import whole_number
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence

RECENT = timedelta(minutes=15)
"""Kubelets tell a failure that lasts once in five minutes at least."""
_FAILED = re.compile(r"^(Readiness|Startup|Liveness) probe (?:failed|errored)[^:]{0,80}: (.*)", re.DOTALL)
_NOT_CONNECTED = re.compile(
    r"\bdial (?:tcp|udp) .*(?:timeout|no route to host|unreachable|deadline exceeded)", re.DOTALL
)


def readiness_ports(pod: Pod) -> tuple[int, ...]:
    """The ports of the pod that its readiness probes connect to, each once."""
    asked = (probed_port(container, container.readiness_probe) for container in pod.spec.containers)
    return tuple(dict.fromkeys(port for port in asked if port))


def probed_port(container: Container, probe: ProbeSpec | None) -> int:
    """The container's port that a probe connects to; 0 where it runs a command, or another host is asked."""
    action = (probe.http_get or probe.tcp_socket) if probe else None
    return _number(container, action.port) if action and not action.host else 0


def _number(container: Container, port: int | str) -> int:
    """The number of a container's port; 0 for a name that it does not declare."""
    if (number := whole_number(port)) is not None:
        return number
    return next((each.container_port for each in container.ports if each.name == port), 0)


@once_per_evidence
def readiness_failures(evidence: Evidence) -> Mapping[str, str]:
    """By the pod's uid what the newest event says of its readiness (or startup) probe."""
    return _newest(evidence, {"Readiness", "Startup"})


@once_per_evidence
def liveness_failures(evidence: Evidence) -> Mapping[str, str]:
    """By the pod's uid what the newest event says of its liveness (or startup) probe, which ends containers."""
    return _newest(evidence, {"Liveness", "Startup"})


def _newest(evidence: Evidence, kinds: Collection[str]) -> Mapping[str, str]:
    found: dict[str, tuple[Event, str]] = {}
    for event in evidence.snapshot.events:
        words = _FAILED.match(event.message) if event.reason == "Unhealthy" else None
        seen = event.last_seen_at
        if words is None or words[1] not in kinds or seen is None or evidence.snapshot.taken_at - seen > RECENT:
            continue
        before = found.get(event.involved_object.uid)
        if before is None or (before[0].last_seen_at or seen) <= seen:
            found[event.involved_object.uid] = event, words[2]
    return {uid: words for uid, (_, words) in found.items()}


def unconnected(evidence: Evidence, pod: Pod) -> str:
    """How a probe of kubelet failed to connect at all, in its own words; "" where it connected, or none is known.

    Nobody answered: neither the pod's kernel nor its application, however slow that is.
    """
    uid = pod.metadata.uid
    said = (each(evidence).get(uid, "") for each in (readiness_failures, liveness_failures))
    return "" if pod.is_ready else next((words for words in said if _NOT_CONNECTED.search(words)), "")
