"""Services: endpoints, ports, rules (taxonomy 5.8), on the Service that everybody in seldon-mesh dials."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Mapping
from typing import Any, Final

from bot.lab.cluster.controllers.podsets import is_ready
from bot.lab.cluster.faults.injection import Injection, has_label, serves_seldon
from bot.lab.cluster.faults.registry import Cni, fault
from bot.lab.cluster.names import Json
from bot.lab.errors import LabError

_NAMESPACE: Final = "seldon-mesh"
_SERVICE: Final = "seldon-scheduler"
_SLICES: Final = "endpointslices.discovery.k8s.io"
_KILL_KUBE_PROXY: Final = """
for process in /proc/[0-9]*; do
  [ "$(cat "$process/comm" 2>/dev/null)" != kube-proxy ] || kill "${process#/proc/}"
done
"""
_SENDER: Final = """
import socket, time
name = b"".join(bytes([len(one)]) + one for one in b"kubernetes.default.svc.cluster.local".split(b"."))
question = bytes([18, 52, 1, 0, 0, 1]) + bytes(6) + name + bytes([0, 0, 1, 0, 1])
here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while True:
    try:
        here.sendto(question, ("10.43.0.10", 53))
    except OSError:
        pass
    time.sleep(0.5)
"""
"""Asks the cluster's DNS twice a second, always from one socket, as a proxy's resolver may."""
_FIRST_PACKETS_S: Final = 1.5
_WITH_PODS: Final[tuple[Cni, ...]] = ("calico-vxlan", "cilium-tunnel")


def _endpoints(lab: Injection, *, ready: bool = True) -> list[str]:
    """The scheduler's endpoint addresses."""
    found: list[str] = []
    for one in lab.storage.peek(_SLICES, _NAMESPACE):
        labels: Mapping[str, str] = one["metadata"].get("labels") or {}
        if labels.get("kubernetes.io/service-name") == _SERVICE:
            endpoints: list[Mapping[str, Any]] = one.get("endpoints") or []
            found += [e["addresses"][0] for e in endpoints if not ready or e["conditions"].get("ready")]
    return found


def _deployment_container(lab: Injection) -> Json:
    return lab.storage.get("deployments.apps", _SERVICE, _NAMESPACE)["spec"]["template"]["spec"]["containers"][0]


@fault("service-no-ready-endpoints", "S2", scope="cluster", also=("readiness-probe-wrong-port",))
async def no_ready_endpoints(lab: Injection) -> None:
    """The Service's only pod is not ready: its readiness probe uses a port on which it does not listen."""
    container = _deployment_container(lab)
    container["readinessProbe"] = {"tcpSocket": {"port": 9999}, "periodSeconds": 1, "failureThreshold": 1}
    patch: Json = {
        "spec": {
            "strategy": {"type": "Recreate", "rollingUpdate": None},
            "template": {"spec": {"containers": [container]}},
        }
    }
    lab.patch("deployments.apps", _SERVICE, _NAMESPACE, patch)
    await lab.until(lambda: not _endpoints(lab) and bool(_endpoints(lab, ready=False)), "the endpoint became unready")


@fault("service-without-pods", "S2", scope="cluster", cause="service-no-ready-endpoints")
async def no_pods(lab: Injection) -> None:
    """The Service's Deployment is scaled to zero."""
    lab.patch("deployments.apps", _SERVICE, _NAMESPACE, {"spec": {"replicas": 0}})
    await lab.until(lambda: not _endpoints(lab, ready=False), "the endpoints went away")


@fault("service-selector-mismatch", "S2", scope="cluster", cause="service-selector-matches-nothing")
async def selector_mismatch(lab: Injection) -> None:
    """The Service's selector matches no pod."""
    lab.patch("services", _SERVICE, _NAMESPACE, {"spec": {"selector": {"control-plane": "seldon-schedulr"}}})
    await lab.until(lambda: not _endpoints(lab, ready=False), "the endpoints went away")


@fault("service-wrong-target-port", "S5", scope="cluster")
async def wrong_target_port(lab: Injection) -> None:
    """The Service's targetPort is one on which nobody listens."""
    ports: list[Json] = lab.storage.get("services", _SERVICE, _NAMESPACE)["spec"]["ports"]
    changed = [{**port, "targetPort": 9104} if port["port"] == 9004 else port for port in ports]
    lab.patch("services", _SERVICE, _NAMESPACE, {"spec": {"ports": changed}})
    await lab.until(lambda: 9104 in _slice_ports(lab), "the EndpointSlice followed")


def _slice_ports(lab: Injection) -> list[int]:
    return [port["port"] for one in lab.storage.peek(_SLICES, _NAMESPACE) for port in one.get("ports") or ()]


@fault("flow-kept-to-former-endpoint", "S3", scope="pod")
async def kept_flow(lab: Injection) -> None:
    """A pod keeps sending from one UDP socket, its Service's pods are replaced, kube-proxy misses the old entry."""
    before = {pod["status"].get("podIP") for pod in _dns_pods(lab)}
    await lab.background(f"exec python3 -c {shlex.quote(_SENDER)}", netns=lab.pod.sandbox.pid)
    node = lab.node.name
    lab.proxies.miss_cleanups(node)

    async def undo() -> None:
        lab.proxies.make_cleanups(node)

    lab.on_undo(f"kube-proxy of {node} misses what it should clean up", undo)
    await asyncio.sleep(_FIRST_PACKETS_S)
    for pod in _dns_pods(lab):
        lab.storage.delete("pods", pod["metadata"]["name"], "kube-system")

    def are_replaced() -> bool:
        found = [pod["status"].get("podIP") for pod in _dns_pods(lab) if is_ready(pod)]
        return len(found) == len(before) and before.isdisjoint(found)

    await lab.until(are_replaced, "the DNS pods were replaced")


def _dns_pods(lab: Injection) -> list[Mapping[str, Any]]:
    return [pod for pod in lab.storage.peek("pods", "kube-system") if has_label(pod, "k8s-app", "kube-dns")]


@fault("service-rules-missing", "S1", scope="node")
async def rules_missing(lab: Injection) -> None:
    """The node's kube-proxy hangs, and its rules for the Service are gone."""
    cluster_ip = lab.storage.get("services", _SERVICE, _NAMESPACE)["spec"]["clusterIP"]
    found = await lab.look(["nft", "-j", "list", "map", "ip", "kube-proxy", "service-ips"])
    keys = _keys(found, cluster_ip)
    script = f"delete element ip kube-proxy cluster-ips {{ {cluster_ip} }}\n"
    script += "".join(f"delete element ip kube-proxy service-ips {{ {key} }}\n" for key in keys)
    await _hang(lab, lab.node.name)  # its next sync would bring the rules back
    await lab.nft_run(script, lambda: lab.proxies.restart(lab.node.name))


async def _hang(lab: Injection, node: str) -> None:
    """Stop a node's kube-proxy, and wait for what it was writing: that would undo the fault."""
    lab.proxies.stop(node)
    await lab.until(lambda: not lab.proxies.is_running(node), "kube-proxy hangs")


def _keys(listing: str, cluster_ip: str) -> list[str]:
    import json  # noqa: PLC0415 - one caller

    elements: list[Any] = []
    for one in json.loads(listing)["nftables"]:
        elements += one.get("map", {}).get("elem", ())
    keys: list[str] = []
    for element in elements:
        address, protocol, port = element[0]["concat"]
        if address == cluster_ip:
            verdict = element[1]["goto"]["target"]
            keys.append(f"{address} . {protocol} . {port} : goto {verdict}")
    return keys


@fault("kube-proxy-dead", "S1", scope="node", cnis=_WITH_PODS, cause="service-rules-missing")
async def kube_proxy_dead(lab: Injection) -> None:
    """The node's kube-proxy crashes since the reboot."""
    pod = next(
        one
        for one in lab.storage.peek("pods", "kube-system")
        if one["spec"].get("nodeName") == lab.node.name and has_label(one, "k8s-app", "kube-proxy")
    )
    uid, name = pod["metadata"]["uid"], pod["metadata"]["name"]
    config = f"/var/lib/kubelet/pods/{uid}/volumes/kubernetes.io~configmap/kube-proxy/config.conf"
    broken = {
        "write": {config: "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftable\n"}
    }
    await lab.node.host.steps([broken, {"argv": ["sh", "-c", _KILL_KUBE_PROXY]}])

    async def recreate() -> None:
        lab.storage.delete("pods", name, "kube-system", grace_period_s=0)

    lab.on_undo(f"{lab.node.name}: kube-proxy's configuration is broken", recreate)
    await lab.until(lambda: not lab.proxies.is_running(lab.node.name), "kube-proxy stopped")
    await lab.node.host.steps([{"argv": ["nft", "delete", "table", "ip", "kube-proxy"]}])


@fault("service-one-bad-endpoint", "S4", scope="cluster", cause="service-endpoint-dead")
async def one_bad_endpoint(lab: Injection) -> None:
    """A second pod carries the Service's labels, counts as ready, and does not open its port."""
    template = lab.storage.get("deployments.apps", _SERVICE, _NAMESPACE)["spec"]["template"]
    container = _deployment_container(lab)
    container["env"] = [*container.get("env", []), {"name": "SCHEDULER_PORTS", "value": "9002 9005 9008"}]
    container.pop("readinessProbe")
    metadata = {"name": f"{_SERVICE}-canary", "labels": template["metadata"]["labels"]}
    body: Json = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    lab.create("pods", {**body, "spec": {**template["spec"], "containers": [container]}}, _NAMESPACE)
    await lab.until(lambda: len(_endpoints(lab)) == 2, "the Service has a second endpoint")


@fault("service-external-policy-without-endpoint", "S13", scope="cluster")
async def external_policy(lab: Injection) -> None:
    """A pod dials another node's port, externalTrafficPolicy is Local, and that node has no endpoint."""
    serving = {node for node, pods in lab.plane.pods.items() if any(serves_seldon(pod) for pod in pods.values())}
    others = [node for node in lab.nodes if node.name not in {lab.node.name, *serving}]
    if not others:
        raise LabError("this fault needs a node without the scheduler and without the pod: cnibot lab up --nodes 3")
    ports: list[Json] = lab.storage.get("services", _SERVICE, _NAMESPACE)["spec"]["ports"]
    numbered = [{**port, "nodePort": 30904} if port["port"] == 9004 else port for port in ports]
    patch = {"type": "NodePort", "externalTrafficPolicy": "Local", "ports": numbered}
    lab.patch("services", _SERVICE, _NAMESPACE, {"spec": patch})
    container: Json = {
        "name": "main",
        "image": "gcr.io/distroless/static:nonroot",
        "env": [{"name": "SCHEDULER_URL", "value": f"http://{others[0].ip}:30904"}],
    }
    labels = {"app": "caller"}
    spec: Json = {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"nodeName": lab.node.name, "containers": [container]}},
    }
    lab.create("deployments.apps", {"metadata": {"name": "caller"}, "spec": spec}, _NAMESPACE)

    def is_up() -> bool:
        return any(is_ready(pod) and has_label(pod, "app", "caller") for pod in lab.storage.peek("pods", _NAMESPACE))

    await lab.until(is_up, "the caller is ready")


@fault("service-local-policy-without-endpoint", "S13", scope="cluster")
async def local_policy(lab: Injection) -> None:
    """Policy internalTrafficPolicy is Local, but no endpoint on this node."""
    lab.patch("services", _SERVICE, _NAMESPACE, {"spec": {"internalTrafficPolicy": "Local"}})


@fault("service-stale-backend", "S3", scope="node")
async def stale_backend(lab: Injection) -> None:
    """The node's kube-proxy hangs: its rules lead to a pod that is gone."""
    node = lab.node.name
    lab.on_undo(f"{node}: kube-proxy hangs", lambda: lab.proxies.restart(node))
    await _hang(lab, node)
    old = set(_endpoints(lab))
    pods = [
        one["metadata"]["name"] for one in lab.storage.peek("pods", _NAMESPACE) if one["status"].get("podIP") in old
    ]
    for name in pods:
        lab.storage.delete("pods", name, _NAMESPACE)
    await lab.until(lambda: bool(_endpoints(lab)) and not old & set(_endpoints(lab)), "a new pod took over")


@fault("app-not-listening", "S5", scope="cluster")
async def not_listening(lab: Injection) -> None:
    """The application does not open the port that the Service leads to."""
    container = _deployment_container(lab)
    container["env"] = [*container.get("env", []), {"name": "SCHEDULER_PORTS", "value": "9002 9005 9008"}]
    container.pop("readinessProbe")
    before = _endpoints(lab)
    lab.patch("deployments.apps", _SERVICE, _NAMESPACE, {"spec": {"template": {"spec": {"containers": [container]}}}})
    await lab.until(lambda: bool(_endpoints(lab)) and not set(before) & set(_endpoints(lab)), "the new pod took over")


@fault("service-bound-to-loopback", "S6", scope="cluster", cause="app-listens-on-loopback")
async def bound_to_loopback(lab: Injection) -> None:
    """The application listens on 127.0.0.1 only."""
    container = _deployment_container(lab)
    container["env"] = [*container.get("env", []), {"name": "SCHEDULER_BIND", "value": "127.0.0.1"}]
    container.pop("readinessProbe")
    before = _endpoints(lab)
    lab.patch("deployments.apps", _SERVICE, _NAMESPACE, {"spec": {"template": {"spec": {"containers": [container]}}}})
    await lab.until(lambda: bool(_endpoints(lab)) and not set(before) & set(_endpoints(lab)), "the new pod took over")
