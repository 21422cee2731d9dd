"""How the agents of CNIs are recognised: names of DaemonSets and the images of their containers."""

import re
from dataclasses import dataclass, replace
from typing import Literal

from bot.cluster.objects import Container

CniName = Literal[
    "calico",
    "canal",  # Calico's policy over Flannel's network
    "flannel",
    "cilium",
    "kube-router",
    "weave",
    "antrea",
    "aws-vpc-cni",
    "azure-cni",
    "ovn-kubernetes",
    "kube-ovn",
    "kindnet",
    "gke-dataplane-v2",
    "unknown",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKind:
    """A CNI's agent: a container of a DaemonSet, known by its image's last part and its own name."""

    name: CniName
    image: re.Pattern[str]
    """Of the image's path without registry, tag and digest."""
    container: str = ""
    """The container's name, where the image alone does not tell (Cilium's operator has another image)."""
    enforces_policy: bool | None = None


def _kind(name: CniName, image: str, container: str = "", *, enforces_policy: bool | None) -> AgentKind:
    return AgentKind(name=name, image=re.compile(image), container=container, enforces_policy=enforces_policy)


AGENTS: tuple[AgentKind, ...] = (
    _kind("calico", r"(^|/)(calico-node|calico/node|mirrored-calico-node)$", "calico-node", enforces_policy=True),
    _kind("cilium", r"(^|/)(cilium/cilium|mirrored-cilium-cilium|cilium-ci)$", "cilium-agent", enforces_policy=True),
    _kind(
        "flannel",
        r"(^|/)(flannel|mirrored-flannel(cni)?-flannel|hardened-flannel)$",
        "kube-flannel",
        enforces_policy=False,
    ),
    _kind("kube-router", r"(^|/)kube-router$", enforces_policy=True),
    _kind("weave", r"(^|/)weave-kube$", "weave", enforces_policy=True),
    _kind("antrea", r"(^|/)antrea-(agent-)?(ubuntu|ubi|agent)(-\w+)?$", "antrea-agent", enforces_policy=True),
    _kind("aws-vpc-cni", r"(^|/)amazon-k8s-cni$", "aws-node", enforces_policy=None),
    _kind("azure-cni", r"(^|/)azure-(cns|cni|npm)$", enforces_policy=None),
    _kind(
        "ovn-kubernetes",
        r"(^|/)(ovn-kube|ovn-kubernetes|ovn-kube-f|ovn-kube-u)$",
        "ovnkube-controller",
        enforces_policy=True,
    ),
    _kind("kube-ovn", r"(^|/)kube-ovn$", "cni-server", enforces_policy=True),
    _kind("kindnet", r"(^|/)kindnetd$", "kindnet-cni", enforces_policy=None),
)
"""kindnet enforces policies since kind 0.24, AWS's CNI where its network policy agent is switched on."""


def image_path(image: str) -> str:
    """An image without registry, tag and digest: "docker.io/calico/node:v3.29.1" is "calico/node"."""
    path = image.partition("@")[0]
    head, _, last = path.rpartition("/")
    path = f"{head}/{last.partition(':')[0]}" if head else last.partition(":")[0]
    first, _, rest = path.partition("/")
    return rest if rest and ("." in first or ":" in first or first == "localhost") else path


def image_version(image: str) -> str:
    """The version in an image's tag: "v3.29.1-build20250101" is "3.29.1"; "" when the tag is none."""
    tag = image.partition("@")[0].rpartition("/")[2].partition(":")[2]
    found = re.match(r"v?(\d+\.\d+(?:\.\d+)?(?:-(?:rc|beta|alpha)[.\d]*)?)", tag)
    return found[1] if found else ""


def agent_kind(container: Container, owner: str) -> AgentKind | None:
    """Of which CNI this container is the agent, if of any; `owner` is the DaemonSet's or pod's name.

    A container's name decides where its image is a renamed copy; GKE's Cilium is known by its DaemonSet's name alone.
    """
    named = (kind for kind in AGENTS if kind.container and kind.container == container.name)
    path = image_path(container.image)
    kind = next(named, None) or next((kind for kind in AGENTS if kind.image.search(path)), None)
    if kind and kind.name == "cilium" and owner.startswith("anetd"):
        return replace(kind, name="gke-dataplane-v2")
    return kind
