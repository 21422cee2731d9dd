"""The facts that service-endpoints declares."""

from bot.domain.access import Need
from bot.probes.engine.fact_spec import API, fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.services.unready import WHY

_LOOK = "kubectl get service <service> -o yaml"
_SLICES = "kubectl get endpointslices -n <namespace> -l kubernetes.io/service-name=<service name> -o yaml"
_PODS = "kubectl get pods -n <namespace> --show-labels"
FACTS = (
    fact("service.in_scope", "bool", "The Service is one of the namespace asked about.", look=_LOOK, rungs=API),
    fact("service.is_dns", "bool", "The Service is the cluster's DNS.", look=_LOOK, rungs=API),
    fact(
        "service.is_used",
        "bool",
        "Somebody is known to dial it: a playbook, a pod's environment, arguments or sockets, or as nameserver.",
        look="kubectl get pods -A -o yaml | grep -w <service name>",
        rungs=API,
    ),
    fact("service.has_selector", "bool", "The Service selects pods by label.", look=_LOOK, rungs=API),
    fact("service.selector", "str", "That selector, as kubectl takes it.", look=_LOOK, rungs=API),
    fact("service.is_headless", "bool", "The Service has no address of its own.", look=_LOOK, rungs=API),
    fact("service.selected_pods", "int", "Live pods that the selector takes.", look=_PODS, rungs=API),
    fact(
        "service.unready_selected", "int", "Pods that the selector takes and that are not ready.", look=_PODS, rungs=API
    ),
    fact("service.terminating_selected", "int", "Those of them that are being deleted.", look=_PODS, rungs=API),
    fact(
        "service.unready_why",
        "str",
        "Why the pods that it selects are not ready, where one reason fits all of them.",
        look="kubectl describe pods -n <namespace> -l <selector>",
        values=WHY,
    ),
    fact("service.unready_lacks", "list", "What is out of these pods' reach, in words.", look=_PODS),
    fact(
        "service.family_served",
        "bool",
        "Some pod that it selects has an address of the Service's own IP family.",
        look="kubectl get pods -n <namespace> -o jsonpath='{.items[*].status.podIPs}'; "
        "kubectl get service <service> -o yaml",
        rungs=API,
    ),
    fact(
        "service.awaits_itself",
        "list",
        "Pods behind it that are not ready and are configured to dial it by name, where it is headless and lists ready "
        "pods only.",
        look="kubectl get service <service> -o yaml; kubectl get pods -o yaml  # their variables",
        rungs=API,
    ),
    fact(
        "service.publishes_unready",
        "list",
        "Pods that are not ready and that it lists all the same (publishNotReadyAddresses).",
        look=_LOOK,
        rungs=API,
    ),
    fact(
        "service.similar_pods", "int", "Pods that the selector nearly takes, when it takes none.", look=_PODS, rungs=API
    ),
    fact("service.endpoints", "int", "Endpoints listed, ready or not.", look=_SLICES, rungs=API),
    fact("service.ready_endpoints", "int", "Endpoints that are ready.", look=_SLICES, rungs=API),
    fact(
        "service.scaled_to_zero",
        "bool",
        "A Deployment or ReplicaSet whose pods the selector would take is scaled to zero, and none other is not.",
        look="kubectl get deployments,replicasets -n <namespace>",
        rungs=API,
    ),
    fact(
        "service.scaled_deployment",
        "str",
        'The Deployment whose pods the selector would take and that is scaled to zero; "" where none is.',
        look="kubectl get deployments -n <namespace>",
        rungs=API,
    ),
    fact(
        "service.slices_astray",
        "list",
        "Of a Service without selector and without ready endpoints: EndpointSlices of its namespace that belong to no "
        "Service.",
        look="kubectl get endpointslices -n <namespace> --show-labels",
        rungs=API,
    ),
    fact(
        "service.port_name_ok",
        "bool",
        "Every targetPort that is a name is the name of a port of a container behind the Service.",
        look=_LOOK,
        rungs=API,
    ),
    fact(
        "service.target_port_declared",
        "bool",
        "Every targetPort that is a number is among the ports that the containers declare.",
        look=_LOOK,
        rungs=API,
    ),
    fact(
        "service.ports_misnamed",
        "list",
        "Ports of a Service without selector to which its EndpointSlices give another name.",
        look="kubectl get service <service> -o yaml; kubectl get endpointslices -o yaml",
        rungs=API,
    ),
    fact(
        "service.ports_unserved",
        "list",
        "Ports of the Service for which its EndpointSlices have no port, though they list endpoints.",
        look=_SLICES,
        rungs=API,
    ),
    fact(
        "service.endpoints_outdated",
        "list",
        "Ready endpoints of pods that do not exist, or that have another address.",
        look=f"{_SLICES}; kubectl get pods -n <namespace> -o wide",
        rungs=API,
    ),
    fact("service.local_policy", "bool", "internalTrafficPolicy is Local.", look=_LOOK, rungs=API),
    fact(
        "service.nodes_without_local",
        "list",
        "With internalTrafficPolicy Local: nodes that carry pods asked about but no ready endpoint.",
        look=_SLICES,
        rungs=API,
    ),
    fact(
        "service.hints_empty_zone",
        "bool",
        "All endpoints carry zone hints, and a zone with pods asked about has none for it.",
        look=_SLICES,
        rungs=API,
    ),
)
NEEDS = (
    *LOOK_AT_PODS,
    Need(verb="list", resource="services", why="to know what is dialled, and what stands behind it"),
    Need(verb="list", resource="endpointslices", group="discovery.k8s.io", why="to know which endpoints are ready"),
    Need(
        verb="list",
        resource="deployments",
        group="apps",
        is_optional=True,
        why="to tell a Service that was scaled to zero from a broken one",
    ),
)
