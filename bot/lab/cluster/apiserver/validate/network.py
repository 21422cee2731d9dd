"""Checks of Services, EndpointSlices and NetworkPolicies."""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Any

from bot.lab.cluster.apiserver import names
from bot.lab.cluster.apiserver.errors import Cause
from bot.lab.cluster.apiserver.parts import items_of
from bot.lab.cluster.apiserver.validate import faults

Obj = Mapping[str, Any]
_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")


def service(obj: Obj, old: Obj | None) -> list[Cause]:
    """A Service."""
    spec = obj["spec"]
    ports = items_of(spec, "ports")
    found: list[Cause] = []
    if spec["type"] not in _TYPES:
        found.append(faults.unsupported("spec.type", spec["type"], _TYPES))
    headless = spec.get("clusterIP") == "None"
    if not ports and spec["type"] != "ExternalName" and not headless:
        found.append(faults.required("spec.ports"))
    if spec["type"] == "ExternalName" and not spec.get("externalName"):
        found.append(faults.required("spec.externalName"))
    found += _service_ports(ports)
    if spec.get("sessionAffinity") not in {"ClientIP", "None"}:
        found.append(faults.unsupported("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None")))
    found += _cluster_ip(spec, old)
    return found


def _service_ports(ports: Any) -> Iterator[Cause]:
    seen: set[tuple[Any, Any]] = set()
    titles: set[str] = set()
    for index, port in enumerate(ports):
        path = f"spec.ports[{index}]"
        name = port.get("name", "")
        if len(ports) > 1 and not name:
            yield faults.required(f"{path}.name")
        if name and (fault := names.label_fault(name)):
            yield faults.invalid(f"{path}.name", name, fault)
        if name and name in titles:
            yield faults.duplicate(f"{path}.name", name)
        titles.add(name)
        yield from faults.port(f"{path}.port", port.get("port", 0))
        if port.get("protocol") not in _PROTOCOLS:
            yield faults.unsupported(f"{path}.protocol", port.get("protocol"), _PROTOCOLS)
        yield from _target_port(f"{path}.targetPort", port.get("targetPort"))
        if (key := (port.get("port"), port.get("protocol"))) in seen:
            shown = {"port": port.get("port"), "protocol": port.get("protocol"), "targetPort": port.get("targetPort")}
            yield faults.duplicate(path, {key: value for key, value in shown.items() if value is not None})
        seen.add(key)


def _target_port(path: str, target: Any) -> Iterator[Cause]:
    if isinstance(target, int):
        yield from faults.port(path, target)
    elif isinstance(target, str) and (len(target) > 15 or names.label_fault(target)):
        yield faults.invalid(path, target, "must be no more than 15 characters")


def _cluster_ip(spec: Obj, old: Obj | None) -> Iterator[Cause]:
    address = spec.get("clusterIP", "")
    if address and address != "None":
        try:
            ipaddress.ip_address(address)
        except ValueError:
            why = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            yield faults.invalid("spec.clusterIPs[0]", address, why)
    before = old["spec"].get("clusterIP") if old else None
    if before and address and address != before and spec["type"] != "ExternalName":
        yield faults.invalid("spec.clusterIPs[0]", [address], "may not change once set")


def endpoint_slice(obj: Obj, old: Obj | None) -> list[Cause]:
    """An EndpointSlice."""
    kind = obj.get("addressType")
    supported = ("FQDN", "IPv4", "IPv6")
    if not kind:
        return [faults.required("addressType")]
    if kind not in supported:
        return [faults.unsupported("addressType", kind, supported)]
    found = faults.immutable("addressType", kind, old.get("addressType")) if old else []
    for index, endpoint in enumerate(items_of(obj, "endpoints")):
        if not endpoint.get("addresses"):
            found.append(faults.required(f"endpoints[{index}].addresses", "must contain at least 1 address"))
    return found


def network_policy(obj: Obj, _: Obj | None) -> list[Cause]:
    """A NetworkPolicy."""
    spec = obj["spec"]
    found: list[Cause] = []
    for direction, peers in (("ingress", "from"), ("egress", "to")):
        for index, rule in enumerate(items_of(spec, direction)):
            for at, peer in enumerate(items_of(rule, peers)):
                found += _peer(peer, f"spec.{direction}[{index}].{peers}[{at}]")
            for at, port in enumerate(items_of(rule, "ports")):
                if isinstance(port.get("port"), int):
                    found += faults.port(f"spec.{direction}[{index}].ports[{at}].port", port["port"])
    return found


def _peer(peer: Obj, path: str) -> Iterator[Cause]:
    if not peer:
        yield faults.required(path, "must specify a peer")
    block = peer.get("ipBlock")
    if not block:
        return
    if "podSelector" in peer or "namespaceSelector" in peer:
        yield faults.forbidden(path, "may not specify both ipBlock and another peer")
    try:
        ipaddress.ip_network(block.get("cidr", ""), strict=False)
    except ValueError:
        why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
        yield faults.invalid(f"{path}.ipBlock.cidr", block.get("cidr", ""), why)
