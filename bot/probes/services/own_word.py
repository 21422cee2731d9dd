"""Pods that are not ready by their own word: kubelet's probe reaches them and is refused, and nothing else fails.

A standby that waits to lead, a server that still loads its model, a health check that sees a full disk: the network
carried the question and the answer. It is reported, and no fault of the network, as long as nothing that the pod is
known to need is out of its reach: many a health check says no because of that.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes
"""

import re

from bot.cluster.objects import Pod
from bot.domain.errors import bounded
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.services.kubelet_probes import readiness_failures
from bot.probes.services.needed import needed_flows
from bot.probes.services.rules import open_tcp_ports
from bot.probes.services.unready import unready

MAX_WORDS = 120
_ANSWERED = re.compile(r"HTTP probe failed with statuscode: \d+|service unhealthy \(responded with ")
_REFUSED = re.compile(r"dial tcp \S+:(\d{1,5}): connect: connection refused")


def own_word(evidence: Evidence, subject: Subject, pod: Pod) -> tuple[bool | None, str]:
    """Whether the pod is unready by its own word, None where that is not known; and the word."""
    if pod.is_ready or pod.spec.host_network:
        return False, ""
    failure = readiness_failures(evidence).get(pod.metadata.uid)
    if failure is None:
        return None, ""
    words = bounded(failure, MAX_WORDS)
    has_answered = _has_answered(evidence, subject, pod, failure)
    if not has_answered:
        return has_answered, words
    why = unready(evidence, subject, pod)
    if why is None or why.why not in {"application", "probe-port"}:
        return (None if why is None else False), words
    return not any(flow.source == subject and flow.is_waiting for flow in needed_flows(evidence)), words


def _has_answered(evidence: Evidence, subject: Subject, pod: Pod, failure: str) -> bool | None:
    """Whether the pod itself answered: by a status, by its own command, or by a port on which it does not listen."""
    if _ANSWERED.search(failure):
        return True
    if refused := _REFUSED.search(failure):
        ports = open_tcp_ports(evidence.pod_reports.get(subject))
        return None if ports is None else int(refused[1]) not in ports
    probes = [probe for each in pod.spec.containers if (probe := each.readiness_probe)]
    return bool(probes) and all(each.exec for each in probes) and "timed out" not in failure
