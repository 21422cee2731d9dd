"""The facts that pod-sandbox declares."""

from bot.domain.access import Need
from bot.probes.engine.fact_spec import API, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.pod_sandbox.owners import OWNERS
from bot.probes.pod_sandbox.patterns import SANDBOX_ERRORS

PHASES = ("Pending", "Running", "Succeeded", "Failed", "Unknown")
_LOOK = "kubectl get pod <pod> -o wide"
_EVENTS = "kubectl describe pod <pod>"
FACTS = (
    fact("pod.phase", "str", "The phase of the pod.", look=_LOOK, values=PHASES, rungs=API),
    fact("pod.is_ready", "bool", "The pod's Ready condition is True.", look=_LOOK, rungs=API),
    fact(
        "pod.has_been_ready",
        "bool",
        "The pod is ready now, or was after its containers had started: its network has worked since it was made.",
        look="kubectl get pod <pod> -o jsonpath='{.status.conditions}'",
        rungs=API,
    ),
    fact(
        "pod.has_answered_probe",
        "bool",
        "It has been ready by a readiness probe over the network, which it answers through its gateway (false: it is "
        "not known to have done so).",
        look="kubectl get pod <pod> -o yaml  # readinessProbe, status.conditions",
        rungs=API,
    ),
    fact("pod.age_s", "float", "Seconds since the pod was made.", look=_LOOK, rungs=API),
    fact("pod.is_young", "bool", "The pod was made less than two minutes ago.", look=_LOOK, rungs=API),
    fact("pod.has_ip", "bool", "The pod has an address.", look=_LOOK, rungs=API),
    fact("pod.ip", "str", 'The pod\'s address, "" when it has none.', look=_LOOK, rungs=API),
    fact("pod.in_scope", "bool", "The pod is one of those asked about.", look=_LOOK, rungs=API),
    fact("pod.is_terminating", "bool", "The pod is being deleted.", look=_LOOK, rungs=API),
    fact("pod.host_network", "bool", "The pod shares its node's network (hostNetwork).", look=_LOOK, rungs=API),
    fact("pod.restarts", "int", "Restarts of the pod's containers.", look=_LOOK, rungs=API),
    fact(
        "pod.waiting",
        "str",
        'Why the pod\'s first waiting container waits ("ContainerCreating", "CrashLoopBackOff"); "" when none does.',
        look=_LOOK,
        rungs=API,
    ),
    fact(
        "pod.sandbox_error",
        "str",
        "Why no network could be made for the pod, by its events and its node's conditions.",
        look=_EVENTS,
        values=SANDBOX_ERRORS,
        rungs=API,
    ),
    fact(
        "pod.sandbox_message",
        "str",
        "The last failure in the plugin's or runtime's own words, its end kept, at most 600 characters.",
        look=_EVENTS,
        rungs=API,
    ),
    fact(
        "pod.sandbox_plugin",
        "str",
        'The CNI plugin that the failure is about, the innermost one that it names; "" where it names none.',
        look=_EVENTS,
        rungs=API,
    ),
    fact(
        "pod.sandbox_plugin_owner",
        "str",
        "Whose plugin that is: the CNI's own, a reference plugin (portmap, host-local), one that calls others "
        "(Multus), or somebody else's (a mesh, a former CNI).",
        look=_EVENTS,
        values=OWNERS,
        rungs=API,
    ),
    fact(
        "pod.sandbox_conf",
        "str",
        "The file that names the plugin, or the folder of configurations where it was not found in one.",
        look="grep -wH type /etc/cni/net.d/*  # on <node>",
        rungs=API,
    ),
    fact(
        "pod.sandbox_kubeconfig",
        "str",
        "The kubeconfig that the plugin's entry names.",
        look="grep kubeconfig /etc/cni/net.d/*  # on <node>",
    ),
    fact(
        "pod.duplicate_ip",
        "bool",
        "Another live pod with its own network, or a node, has the same address.",
        look="kubectl get pods -A -o wide | sort -k7",
        rungs=API,
    ),
    fact(
        "pod.ip_in_pool",
        "bool",
        "The pod's address lies in an enabled IPPool, or in its node's range where there are no pools.",
        look="kubectl get ippools.crd.projectcalico.org -o yaml; kubectl get node <node> -o jsonpath={.spec.podCIDR}",
        rungs=API,
    ),
    fact(
        "pod.unready_by_itself",
        "bool",
        "Kubelet's readiness probe reaches the pod and is refused, and nothing that it is known to need is out of its "
        "reach.",
        look="kubectl describe pod <pod>  # Readiness probe failed: …",
    ),
    fact("pod.probe_says", "str", "What kubelet says of the probe, at most 120 characters.", look=_EVENTS, rungs=API),
    fact("pod.extra_networks", "bool", "Multus gives the pod further networks.", look=_EVENTS, rungs=API),
    fact("pod.has_sidecar", "bool", "A mesh's proxy or its init container is in the pod.", look=_LOOK, rungs=API),
    fact("pod.bandwidth_limited", "bool", "The pod's bandwidth is limited by annotation.", look=_EVENTS, rungs=API),
    fact(
        "node.pods_without_network",
        "int",
        "Scheduled pods of the node that have no address: their sandbox fails, or they are older than two minutes.",
        look="kubectl get pods -A -o wide --field-selector spec.nodeName=<node>",
        rungs=API,
    ),
    fact(
        "node.pods_running",
        "int",
        "Running pods of the node that have an address of their own.",
        look="kubectl get pods -A -o wide --field-selector spec.nodeName=<node>",
        rungs=API,
    ),
)
NEEDS = (
    *LOOK_AT_PODS,
    Need(verb="list", resource="events", is_optional=True, why="to know why a pod got no network"),
    Need(
        verb="list",
        resource="ippools",
        group="crd.projectcalico.org",
        is_optional=True,
        why="to know from which ranges Calico hands out addresses",
    ),
)
