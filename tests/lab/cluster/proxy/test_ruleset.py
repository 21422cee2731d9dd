"""kube-proxy's rules: what becomes of Services, and that nft accepts it."""

from __future__ import annotations

from typing import Any

from bot.lab.cluster.proxy.ruleset import render, service_ports


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    return {"metadata": {"namespace": "shop", "name": name}, "spec": {"clusterIP": "10.43.1.1", "ports": ports, **spec}}


def slice_(*endpoints: dict[str, Any], name: str = "web", port: int = 8080) -> dict[str, Any]:
    return {
        "metadata": {"namespace": "shop", "name": f"{name}-x", "labels": {"kubernetes.io/service-name": name}},
        "ports": [{"name": "http", "port": port, "protocol": "TCP"}],
        "endpoints": list(endpoints),
    }


def endpoint(ip: str, *, ready: bool | None = True, node: str = "node-1") -> dict[str, Any]:
    return {"addresses": [ip], "conditions": {"ready": ready}, "nodeName": node}


def test_ready_endpoints_only_sorted_and_once() -> None:
    slices = [
        slice_(endpoint("10.42.0.9"), endpoint("10.42.0.8")),
        slice_(endpoint("10.42.0.9"), endpoint("10.42.0.7", ready=False)),
    ]

    (port,) = service_ports([service()], slices, "node-1")

    assert [one.ip for one in port.endpoints] == ["10.42.0.8", "10.42.0.9"]


def test_unknown_readiness_counts_as_ready() -> None:
    (port,) = service_ports([service()], [slice_(endpoint("10.42.0.8", ready=None))], "node-1")

    assert len(port.endpoints) == 1


def test_headless_and_external_services_have_no_rules() -> None:
    assert service_ports([service(clusterIP="None"), service(type="ExternalName")], [], "node-1") == []


def test_no_endpoints_are_rejected() -> None:
    text = render(service_ports([service()], [], "node-1"))

    assert "10.43.1.1 . tcp . 80 : goto reject-chain" in text


def test_local_policy_drops_where_only_others_have_endpoints() -> None:
    """Rejecting would tell clients of the other nodes that the Service is gone."""
    ports = service_ports(
        [service(internalTrafficPolicy="Local")], [slice_(endpoint("10.42.0.8", node="node-2"))], "node-1"
    )

    assert "10.43.1.1 . tcp . 80 : drop" in render(ports)


def test_sessions_are_spread_evenly() -> None:
    text = render(service_ports([service()], [slice_(endpoint("10.42.0.8"), endpoint("10.42.0.9"))], "node-1"))

    assert "numgen random mod 2 vmap { 0 : goto endpoint-" in text
    assert "dnat to 10.42.0.8:8080" in text
    assert "ip saddr 10.42.0.9 jump mark-for-masquerade" in text


def test_ports_are_matched_by_name() -> None:
    two = [{"name": "http", "port": 80}, {"name": "metrics", "port": 9090}]

    ports = service_ports([service(ports=two)], [slice_(endpoint("10.42.0.8"))], "node-1")

    assert [(port.port, len(port.endpoints)) for port in ports] == [(80, 1), (9090, 0)]


def test_client_affinity_remembers_per_endpoint() -> None:
    sticky = service(sessionAffinity="ClientIP", sessionAffinityConfig={"clientIP": {"timeoutSeconds": 60}})

    text = render(service_ports([sticky], [slice_(endpoint("10.42.0.8"))], "node-1"))

    assert "timeout 60s" in text
    assert "ip saddr @affinity-" in text


def test_order_of_services_does_not_matter() -> None:
    services = [service("a", clusterIP="10.43.1.2"), service("b", clusterIP="10.43.1.3")]

    assert render(service_ports(services, [], "n")) == render(service_ports(services[::-1], [], "n"))


def outside(*ends: dict[str, Any], **spec: Any) -> str:
    """The rules on node-1 of a Service with a node port, an external address and a balancer's."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": 30080}]
    made = service(ports=ports, externalIPs=["192.0.2.7"], **spec)
    made["status"] = {"loadBalancer": {"ingress": [{"ip": "192.0.2.8"}, {"ip": "192.0.2.9", "ipMode": "Proxy"}]}}
    return render(service_ports([made], [slice_(*ends)], "node-1"))


def test_what_comes_from_outside_goes_to_any_endpoint_and_is_masqueraded() -> None:
    text = outside(endpoint("10.42.0.8"), endpoint("10.42.1.8", node="node-2"))

    assert "tcp . 30080 : goto external-" in text
    assert "192.0.2.7 . tcp . 80 : goto external-" in text
    assert "192.0.2.8 . tcp . 80 : goto external-" in text
    assert "192.0.2.9" not in text
    external = text[text.index("chain external-") :].partition("}")[0]
    assert "jump mark-for-masquerade" in external
    assert "goto cluster-" in external


def test_under_the_local_policy_it_goes_to_endpoints_of_the_node_and_pods_go_to_any() -> None:
    text = outside(
        endpoint("10.42.0.8"),
        endpoint("10.42.1.8", node="node-2"),
        externalTrafficPolicy="Local",
        clusterIP="10.43.1.1",
    )

    external = text[text.index("chain external-") :].partition("numgen random mod 1")
    assert "ip saddr 10.42.0.0/16 goto cluster-" in external[0]
    assert "fib saddr type local goto cluster-" in external[0]
    assert external[1]
    assert "numgen random mod 2" in text[text.index("chain cluster-") :]


def test_under_the_local_policy_a_node_without_endpoints_drops_it() -> None:
    text = outside(endpoint("10.42.1.8", node="node-2"), externalTrafficPolicy="Local")

    assert "192.0.2.7 . tcp . 80 : drop" in text
    assert "tcp . 30080 : drop" in text
    assert "192.0.2.7 . tcp . 80 : goto external-" in text, "pods of this node are served all the same"


def test_without_any_endpoint_it_is_refused_at_each_address() -> None:
    text = outside(externalTrafficPolicy="Local")

    assert "192.0.2.7 . tcp . 80 : goto reject-chain" in text
    assert "tcp . 30080 : goto reject-chain" in text
