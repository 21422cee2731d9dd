"""The facts that pod-start declares."""

from bot.domain.access import Need
from bot.probes.engine.fact_spec import API, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.pod_start.refusals import IMAGE_ERRORS, TAINTS, UNSCHEDULED

_POD = "kubectl describe pod <pod>"
_DNS = "kubectl -n kube-system describe pods -l k8s-app=kube-dns"

FACTS = (
    fact(
        "pod.unscheduled", "str", "Why no node takes the pod; no: it has one.", look=_POD, values=UNSCHEDULED, rungs=API
    ),
    fact("pod.unscheduled_message", "str", "The scheduler's words.", look=_POD, rungs=API),
    fact("pod.untolerated_taints", "list", "The taints that the scheduler names.", look=_POD, rungs=API),
    fact(
        "pod.untolerated_kind",
        "str",
        "Who is to remove the first of them: a cloud controller, the node controller, the CNI; other: people set it.",
        look=_POD,
        values=TAINTS,
        rungs=API,
    ),
    fact(
        "pod.recreate",
        "str",
        "The command that makes the pod anew.",
        look=_POD,
        rungs=API,
        is_command=True,
    ),
    fact("pod.image_error", "str", "Why an image could not be pulled.", look=_POD, values=IMAGE_ERRORS, rungs=API),
    fact("pod.image_message", "str", "The runtime's words about the image.", look=_POD, rungs=API),
    fact(
        "cluster.dns_unscheduled",
        "str",
        "Why no node takes the DNS pods; no: at least one has a node, or there is none.",
        look=_DNS,
        values=UNSCHEDULED,
        rungs=API,
    ),
    fact("cluster.dns_unscheduled_message", "str", "The scheduler's words about them.", look=_DNS, rungs=API),
    fact(
        "cluster.dns_untolerated_kind",
        "str",
        "Who is to remove the taint that keeps the DNS pods away.",
        look=_DNS,
        values=TAINTS,
        rungs=API,
    ),
    fact(
        "cluster.dns_waiting",
        "str",
        'What all DNS pods that are not ready wait for ("ImagePullBackOff"); "" when they wait for nothing or for '
        "different things.",
        look=_DNS,
        rungs=API,
    ),
    fact(
        "cluster.dns_image_error",
        "str",
        "Why the image of the DNS pods could not be pulled.",
        look=_DNS,
        values=IMAGE_ERRORS,
        rungs=API,
    ),
    fact("cluster.dns_image_message", "str", "The runtime's words about that image.", look=_DNS, rungs=API),
)
NEEDS = (
    *LOOK_AT_PODS,
    Need(verb="list", resource="events", is_optional=True, why="to know why a pod is not scheduled or has no image"),
)
