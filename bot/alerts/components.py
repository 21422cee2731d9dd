"""Which names belong to a component of the cluster, and which pods only report about their node."""

import re

from bot.domain.alert import Component

_CNI = (
    r"(?:rke2-)?(?:cilium|hubble|calico|canal|felix|typha|tigera|flannel|kube-flannel|ovnkube|ovn-kubernetes|antrea"
    r"|weave-net|kube-router|kindnet|aws-node|azure-(?:cns|npm)|multus)(?:[-_].*)?"
)
_COMPONENTS: tuple[tuple[Component, str], ...] = (
    ("dns", r"(?:rke2-|k3s-)?(?:coredns|kube-?dns|node-?local-?dns|dns-default)(?:[-_].*)?"),
    ("kube-proxy", r"kube-?proxy(?:[-_].*)?"),
    ("api-server", r"(?:kube-)?api-?server|kubernetes(?:-apiservers?)?"),
    ("kubelet", r"kubelet"),
    ("cni", _CNI),
)
"""In this order: `cilium-…` never means DNS, `rke2-coredns-…` never the CNI."""
_PATTERNS: tuple[tuple[Component, re.Pattern[str]], ...] = tuple(
    (component, re.compile(pattern, re.IGNORECASE)) for component, pattern in _COMPONENTS
)

_ALERT_NAMES: tuple[tuple[Component, re.Pattern[str]], ...] = (
    ("dns", re.compile(r"(?:Core|Kube)?DNS", re.IGNORECASE)),
    ("kube-proxy", re.compile(r"Kube-?Proxy", re.IGNORECASE)),
    ("api-server", re.compile(r"Kube(?:rnetes)?API(?:Server)?(?:Down|Missing)", re.IGNORECASE)),
    (
        "cni",
        re.compile(
            r"Cilium|Hubble|RunningOutOfCilium|Calico|Felix|Typha|OVNKube|No(?:RunningOvn|Ovn)|(?:North|South)boundStale"
            r"|V[46]SubnetAllocation|Flannel|Antrea|goldpinger_",
            re.IGNORECASE,
        ),
    ),
)
"""How alerts of published rule sets begin, for those that leave out every label."""

_EXPORTERS = re.compile(
    r".*node-?exporter-[a-z0-9]{5}|(?:.*-)?goldpinger-[a-z0-9]{5}|(?:.*metallb.*-)?speaker-[a-z0-9]{5}"
)
"""Pods on each node that are installed in a namespace of anybody's choice."""
_AGENTS = re.compile(
    r"(?:(?:rke2-)?(?:calico-node|canal|kube-flannel(?:-ds)?|cilium(?:-agent|-node|-envoy)?|ovnkube-node|antrea-agent"
    r"|weave-net|kube-router|kindnet|aws-node|kube-multus-ds|multus|kube-proxy|anetd))-[a-z0-9]{5}|kube-proxy-.+"
)
"""Pods of the network's DaemonSets, `NAME-xxxxx`; kube-proxy may be a static pod."""
_CNI_NAMESPACES = re.compile(r"calico-system|kube-flannel|cilium|d8-cni-.+|openshift-ovn-kubernetes|openshift-sdn")
_SYSTEM_NAMESPACES = re.compile(
    r"|kube-system|tigera-operator|openshift-dns|openshift-multus|d8-.+|" + _CNI_NAMESPACES.pattern
)
"""Where a pod of such a name is the real one; "" where the alert says no namespace."""
_NOT_ON_EACH_NODE = re.compile(
    r"operator|controller|typha|apiserver|relay|hubble|ui|control-plane|cluster-manager|csi|whisker|goldmane|webhook"
)


def component_of(name: str) -> Component | None:
    """The component that a scrape job or `k8s_app` of this name is; None: none of them."""
    return next((component for component, pattern in _PATTERNS if pattern.fullmatch(name)), None)


def component_of_object(name: str, namespace: str) -> Component | None:
    """The component that a workload or a pod of this name is: only where such components live."""
    return component_of(name) if _SYSTEM_NAMESPACES.fullmatch(namespace) else None


def component_of_alert(alertname: str) -> Component | None:
    """The component that a published alert of this name is about."""
    return next((component for component, pattern in _ALERT_NAMES if pattern.match(alertname)), None)


def is_node_agent(pod: str, namespace: str = "") -> bool:
    """Whether the pod is one of those that run on each node and report about it."""
    if _EXPORTERS.fullmatch(pod) or (_AGENTS.fullmatch(pod) and _SYSTEM_NAMESPACES.fullmatch(namespace)):
        return True
    return is_cni_namespace(namespace) and not _NOT_ON_EACH_NODE.search(pod)


def is_cni_namespace(namespace: str) -> bool:
    """Whether nothing but the network's own parts live there."""
    return bool(_CNI_NAMESPACES.fullmatch(namespace))
