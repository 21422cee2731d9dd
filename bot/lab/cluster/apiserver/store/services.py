"""Services: defaults, cluster addresses from 10.43.0.0/16 and node ports from 30000 to 32767."""

import ipaddress
from collections.abc import Mapping
from typing import Any

from bot.lab.cluster.apiserver.errors import Cause, invalid
from bot.lab.cluster.apiserver.parts import items_of, sub
from bot.lab.cluster.apiserver.store.stored_objects import StoredObjects

Obj = dict[str, Any]
CIDR = ipaddress.IPv4Network("10.43.0.0/16")
NODE_PORTS = range(30_000, 32_768)
_KEPT = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
_STATIC_BAND = 256
"""The lowest addresses are left to Services that ask for one, as the real allocator does."""


def _fill(target: Obj, **values: Any) -> None:
    for key, value in values.items():
        if target.get(key) is None:
            target[key] = value


def defaults(obj: Obj) -> None:
    """What decoding fills in."""
    spec = obj.setdefault("spec", {})
    _fill(spec, type="ClusterIP", sessionAffinity="None")
    if spec["sessionAffinity"] == "ClientIP":
        _fill(spec, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 10_800}})
    if spec["type"] != "ExternalName":
        _fill(spec, internalTrafficPolicy="Cluster")
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        _fill(spec, externalTrafficPolicy="Cluster")
    if spec["type"] == "LoadBalancer":
        _fill(spec, allocateLoadBalancerNodePorts=True)
    for port in items_of(spec, "ports"):
        _fill(port, protocol="TCP")
        if port.get("targetPort") in {None, 0, ""}:
            port["targetPort"] = port.get("port", 0)


def allocate(storage: StoredObjects, obj: Obj, old: Mapping[str, Any] | None) -> None:
    """Give addresses and node ports to a Service that has none; raises 422 for a taken or foreign one."""
    spec = obj["spec"]
    if spec["type"] == "ExternalName":
        return
    others = [each for each in storage.peek("services") if each["metadata"].get("uid") != _uid(obj, old)]
    if not spec.get("clusterIP"):
        spec["clusterIP"] = _free_address(storage, others)
    elif spec["clusterIP"] != "None" and old is None:
        _check_address(obj, others)
    spec["clusterIPs"] = [spec["clusterIP"]]
    _fill(spec, ipFamilies=["IPv4"], ipFamilyPolicy="SingleStack")
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        _node_ports(storage, spec, others)


def _uid(obj: Obj, old: Mapping[str, Any] | None) -> str | None:
    return (old or obj)["metadata"].get("uid")


def _free_address(storage: StoredObjects, others: list[Mapping[str, Any]]) -> str:
    taken = {each["spec"].get("clusterIP") for each in others}
    while True:
        offset = storage.rng.randrange(_STATIC_BAND, CIDR.num_addresses - 1)
        if (address := str(CIDR[offset])) not in taken:
            return address


def _check_address(obj: Obj, others: list[Mapping[str, Any]]) -> None:
    address = obj["spec"]["clusterIP"]
    try:
        inside = ipaddress.ip_address(address) in CIDR
    except ValueError:
        return  # validation says so
    why = ""
    if not inside:
        why = f"provided IP ({address}) is not in the valid range. The range of valid IPs is {CIDR}"
    elif any(each["spec"].get("clusterIP") == address for each in others):
        why = "provided IP is already allocated"
    if why:
        shown = f'Invalid value: ["{address}"]: failed to allocate IP {address}: {why}'
        causes = [Cause("FieldValueInvalid", shown, "spec.clusterIPs")]
        raise invalid("", "Service", obj["metadata"].get("name", ""), causes)


def _node_ports(storage: StoredObjects, spec: Obj, others: list[Mapping[str, Any]]) -> None:
    taken = {port.get("nodePort") for each in others for port in items_of(each["spec"], "ports")}
    taken |= {port.get("nodePort") for port in items_of(spec, "ports")}
    for port in items_of(spec, "ports"):
        while not port.get("nodePort"):
            number = storage.rng.choice(NODE_PORTS)
            if number not in taken:
                port["nodePort"] = number
                taken.add(number)


def keep_addresses(obj: Obj, old: Mapping[str, Any]) -> None:
    """An update that does not mention the addresses keeps them."""
    spec, before = obj["spec"], sub(old, "spec")
    if spec["type"] == "ExternalName":
        return
    for key in _KEPT:
        if not spec.get(key) and key in before:
            spec[key] = before[key]
    ports = {(port.get("protocol"), port["port"]): port.get("nodePort") for port in items_of(before, "ports")}
    if spec["type"] in {"NodePort", "LoadBalancer"}:
        for port in items_of(spec, "ports"):
            known = ports.get((port.get("protocol"), port.get("port")))
            if known and not port.get("nodePort"):
                port["nodePort"] = known
