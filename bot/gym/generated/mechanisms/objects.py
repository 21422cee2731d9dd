"""Kubernetes objects: Services, policies, replicas, readiness."""

from typing import Any

from bot.gym.generated.draw import Draft, Draw, mechanism
from bot.gym.generated.scenario import Change, Truth

POLICIES = "networkpolicies.networking.k8s.io"
_SELECTORS = {
    "seldon-scheduler": {"control-plane": "seldon-scheduler"},
    "postgres": {"app": "postgres"},
    "minio": {"app": "minio"},
}
_PORTS: dict[str, list[dict[str, Any]]] = {
    "seldon-scheduler": [
        {"name": "xds", "port": 9002, "targetPort": 9002},
        {"name": "scheduler", "port": 9004, "targetPort": 9004},
        {"name": "agent", "port": 9005, "targetPort": 9005},
        {"name": "dataflow", "port": 9008, "targetPort": 9008},
    ],
    "postgres": [{"name": "postgres", "port": 5432, "targetPort": 5432}],
    "minio": [{"name": "api", "port": 9000, "targetPort": 9000}, {"name": "console", "port": 9001, "targetPort": 9001}],
}


def policy(draw: Draw, name: str, spec: dict[str, Any], namespace: str = "") -> Change:
    """A NetworkPolicy."""
    where = namespace or draw.edge.namespace
    body: dict[str, Any] = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": where},
        "spec": spec,
    }
    return Change(verb="create", resource=POLICIES, namespace=where, name=name, body=body)


def server(draw: Draw) -> dict[str, str]:
    """The labels of the flow's server."""
    return _SELECTORS[draw.edge.service]


@mechanism("wrong-target-port", "object", weight=2)
def wrong_target_port(draw: Draw) -> Draft:
    """The Service leads to a port on which nobody listens."""
    wrong = draw.one([draw.edge.port + 100, 8080, 7070, draw.edge.port + 1000])
    ports = [
        {**one, "targetPort": wrong if one["port"] == draw.edge.port else one["targetPort"]}
        for one in _PORTS[draw.edge.service]
    ]
    return Draft(
        place="service rules",
        selector="port",
        scope="cluster",
        says=f"targetPort {wrong} instead of {draw.edge.port}",
        changes=(
            Change(
                verb="patch",
                resource="services",
                namespace=draw.edge.namespace,
                name=draw.edge.service,
                body={"spec": {"ports": ports}},
            ),
        ),
        truth=Truth(
            causes=("service-wrong-target-port",),
            hops=("service", "application"),
            words=(f"port {wrong}", f"targetPort {wrong}"),
            objects=("$SERVICE",),
        ),
    )


@mechanism("selector", "object", weight=1)
def selector(draw: Draw) -> Draft:
    """The Service's selector matches no pod, or strangers."""
    key, value = next(iter(server(draw).items()))
    to = draw.one([{key: value[:-1]}, {"version": "v2"}, {"app.kubernetes.io/managed-by": "helm"}])
    return Draft(
        place="service rules",
        scope="cluster",
        says=f"the selector has {to}",
        changes=(
            Change(
                verb="patch",
                resource="services",
                namespace=draw.edge.namespace,
                name=draw.edge.service,
                body={"spec": {"selector": to}},
            ),
        ),
        truth=Truth(
            causes=("service-selector-matches-nothing",),
            hops=("service",),
            words=(),
            objects=("$SERVICE",),
            follows=("service-no-ready-endpoints",),
        ),
    )


@mechanism("scaled-to-zero", "object", weight=1)
def scaled_to_zero(draw: Draw) -> Draft:
    """Nobody serves."""
    return Draft(
        place="workload",
        scope="cluster",
        says=f"the Deployment {draw.edge.service} has no replicas",
        changes=(
            Change(
                verb="patch",
                resource="deployments.apps",
                namespace=draw.edge.namespace,
                name=draw.edge.service,
                body={"spec": {"replicas": 0}},
            ),
        ),
        truth=Truth(
            causes=("service-no-ready-endpoints",),
            hops=("service", "application"),
            words=(),
            objects=("$SERVICE",),
        ),
    )


@mechanism("internal-local", "object", weight=1, is_remote=True)
def internal_local(draw: Draw) -> Draft:
    """The Service serves only endpoints on the client's own node."""
    return Draft(
        place="service rules",
        selector="node",
        scope="cluster",
        says="internalTrafficPolicy is Local",
        changes=(
            Change(
                verb="patch",
                resource="services",
                namespace=draw.edge.namespace,
                name=draw.edge.service,
                body={"spec": {"internalTrafficPolicy": "Local"}},
            ),
        ),
        truth=Truth(causes=("service-local-policy-without-endpoint",), hops=("service",), objects=("$SERVICE",)),
    )


@mechanism("ingress-policy", "object", weight=4)
def ingress_policy(draw: Draw) -> Draft:
    """An ingress policy of the server lets in other ports, other blocks, other pods or nobody."""
    name = f"{draw.name()}-ingress"
    port, wrong = draw.edge.port, draw.edge.port + draw.one([1, 10, 1000])
    anybody: dict[str, Any] = {"namespaceSelector": {}}
    selector, rules, says = draw.one(
        [
            ("port", [{"from": [anybody], "ports": [{"protocol": "TCP", "port": wrong}]}], f"allows port {wrong} only"),
            ("protocol", [{"from": [anybody], "ports": [{"protocol": "UDP", "port": port}]}], "allows UDP only"),
            ("all", [{"from": [{"ipBlock": {"cidr": "192.168.0.0/16"}}]}], "allows a foreign block"),
            (
                "node",
                [{"from": [{"ipBlock": {"cidr": "10.42.0.0/16", "except": ["$SRC_BLOCK"]}}]}],
                "excludes the source's block",
            ),
            (
                "pod",
                [{"from": [{"ipBlock": {"cidr": "10.42.0.0/16", "except": ["$SRC_IP/32"]}}]}],
                "excludes the source",
            ),
            (
                "all",
                [{"from": [{"podSelector": {"matchLabels": {"role": "client"}}}]}],
                "allows a label that nobody has",
            ),
            (
                "all",
                [{"from": [{"namespaceSelector": {"matchLabels": {"team": "ml"}}}]}],
                "allows namespaces with a label that none has",
            ),
            ("all", [], "allows nobody"),
        ]
    )
    spec: dict[str, Any] = {"podSelector": {"matchLabels": server(draw)}, "policyTypes": ["Ingress"], "ingress": rules}
    return Draft(
        place="policy of the target",
        selector=selector,  # type: ignore[arg-type]
        scope="cluster",
        says=f"NetworkPolicy {name} {says}",
        changes=(policy(draw, name, spec),),
        truth=Truth(causes=("network-policy-denies",), hops=("policy",), words=(name,)),
    )


@mechanism("egress-policy", "object", weight=3)
def egress_policy(draw: Draw) -> Draft:
    """An egress policy of the namespace forgets the server, its port, or DNS."""
    name = f"{draw.name()}-egress"
    dns: dict[str, Any] = {"ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}]}
    to_server: dict[str, Any] = {
        "to": [{"podSelector": {"matchLabels": server(draw)}}],
        "ports": [{"protocol": "TCP", "port": draw.edge.port}],
    }
    causes = ("network-policy-denies",)
    selector, rules, says = draw.one(
        [
            ("port", [dns, {**to_server, "ports": [{"protocol": "TCP", "port": draw.edge.port + 1}]}], "another port"),
            ("port", [to_server], "no DNS"),
            ("pod", [dns, {"to": [{"podSelector": {"matchLabels": {"app": "proxy"}}}]}], "another pod"),
            ("all", [dns], "DNS only"),
            ("all", [], "nothing"),
            (
                "pod",
                [dns, {"to": [{"ipBlock": {"cidr": "$SVC_IP/32"}}]}],
                "the Service's own address, which no policy sees",
            ),
        ]
    )
    if not any(one is dns for one in rules):
        causes = ("network-policy-denies", "dns-egress-denied")
    spec: dict[str, Any] = {"podSelector": {}, "policyTypes": ["Egress"], "egress": rules}
    return Draft(
        place="policy of the source",
        selector=selector,  # type: ignore[arg-type]
        scope="cluster",
        says=f"NetworkPolicy {name} lets {draw.edge.namespace} reach: {says}",
        changes=(policy(draw, name, spec),),
        truth=Truth(causes=causes, hops=("policy",), words=(name,)),
    )
