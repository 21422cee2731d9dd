"""Pods that get no network: what the CNI's plugin needs is not there when the next pod begins."""

from typing import Any

from bot.gym.generated.draw import Draft, Draw, mechanism
from bot.gym.generated.scenario import Change, Step, Target, Truth

_PLUGINS = {
    "calico-vxlan": ("/opt/cni/bin/calico", "/opt/cni/bin/calico-ipam"),
    "flannel-vxlan": ("/var/lib/rancher/k3s/data/cni/flannel", "/var/lib/rancher/k3s/data/cni/host-local"),
    "cilium-tunnel": ("/opt/cni/bin/cilium-cni",),
}
_CONFIGURATIONS = {
    "calico-vxlan": "/etc/cni/net.d/10-calico.conflist",
    "flannel-vxlan": "/var/lib/rancher/k3s/agent/etc/cni/net.d/10-flannel.conflist",
    "cilium-tunnel": "/etc/cni/net.d/05-cilium.conflist",
}
_SUBNET = "/run/flannel/subnet.env"


@mechanism("plugin-file", "sandbox", weight=1)
def plugin_file(draw: Draw) -> Draft:
    """A plugin, the configuration or what the plugin reads is gone, and a new pod is to start on that node."""
    files = [(path, "cni-plugin-missing") for path in _PLUGINS[draw.cni]]
    files.append((_CONFIGURATIONS[draw.cni], "cni-not-initialised"))
    if draw.is_bridged:
        files.append((_SUBNET, "flannel-subnet-file-missing"))
    path, cause = draw.one(files)
    sides: list[tuple[Target, str]] = [
        ("src-node", "$SRC_NODE"),
        ("dst-node", "$DST_NODE"),
        ("other-node", "$OTHER_NODE"),
    ]
    on, node = draw.one(sides)
    name = f"{draw.edge.source}-canary{draw.chance.randint(10, 99)}"
    container = {"name": "app", "image": "registry.k8s.io/pause:3.10"}
    body: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": draw.edge.namespace,
            "labels": {"app": draw.edge.source, "track": "canary"},
        },
        "spec": {"nodeName": node, "automountServiceAccountToken": False, "containers": [container]},
    }
    return Draft(
        place="CNI on a node",
        selector="node",
        scope="node",
        direction="both",
        says=f"{path} is gone on the {on}, where {name} starts",
        steps=(Step(on=on, do=f"mv {path} {path}.old", undo=f"mv {path}.old {path}"),),
        changes=(Change(verb="create", resource="pods", namespace=draw.edge.namespace, name=name, body=body),),
        truth=Truth(causes=(cause,), hops=("api",), words=(path.rpartition("/")[2],), objects=(node, name)),
    )
