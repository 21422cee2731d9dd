"""What a snapshot reads beside the namespace itself: one table per kind, from which its permissions follow."""

from dataclasses import dataclass

from bot.domain.access import Need

CONNECTIVITY_NAMESPACES = (
    "kube-system",
    "calico-system",
    "tigera-operator",
    "kube-flannel",
    "cilium",
    "openshift-dns",
    "openshift-multus",
    "openshift-network-operator",
    "openshift-ovn-kubernetes",
    "openshift-sdn",
)
"""Where CNIs, kube-proxy and the cluster's DNS live."""

DNS_NAMESPACES = ("kube-system", "openshift-dns")

DNS_LABELS = ("k8s-app=kube-dns", "k8s-app=coredns", "dns.operator.openshift.io/daemonset-dns=default")

CONFIG_MAPS = (
    ("kube-system", "antrea-config"),
    ("kube-system", "calico-config"),
    ("kube-system", "canal-config"),
    ("kube-system", "cilium-config"),
    ("kube-system", "coredns"),
    ("kube-system", "coredns-custom"),
    ("kube-system", "kube-flannel-cfg"),
    ("kube-system", "kube-proxy"),
    ("kube-system", "kube-router-cfg"),
    ("kube-system", "kubeadm-config"),
    ("kube-system", "node-local-dns"),
    ("kube-system", "rke2-canal-config"),
    ("kube-system", "rke2-coredns-rke2-coredns"),
    ("kube-flannel", "kube-flannel-cfg"),
    ("cilium", "cilium-config"),
)
"""Namespace and name; one that does not exist is not missed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomKind:
    """A custom resource that says something about the network."""

    plural: str
    groups: tuple[str, ...]
    """The first that the API serves is read."""
    versions: tuple[str, ...] = ()
    """Of a group whose kinds have different ones: those that this kind has, the newest first. Else the group's own."""
    of_namespace: bool = False
    """Read only in the diagnosed namespace: there may be one for each pod of the cluster."""


_CALICO = ("crd.projectcalico.org", "projectcalico.org")
_CILIUM = ("cilium.io",)
_ADMIN_POLICY = ("policy.networking.k8s.io",)

CUSTOM_KINDS = (
    CustomKind(plural="bgpconfigurations", groups=_CALICO),
    CustomKind(plural="bgppeers", groups=_CALICO),
    CustomKind(plural="blockaffinities", groups=_CALICO),
    CustomKind(plural="clusterinformations", groups=_CALICO),
    CustomKind(plural="felixconfigurations", groups=_CALICO),
    CustomKind(plural="globalnetworkpolicies", groups=_CALICO),
    CustomKind(plural="hostendpoints", groups=_CALICO),
    CustomKind(plural="ipamblocks", groups=_CALICO[:1]),
    CustomKind(plural="ipamconfigs", groups=_CALICO[:1]),
    CustomKind(plural="ippools", groups=_CALICO),
    CustomKind(plural="networkpolicies", groups=_CALICO),
    CustomKind(plural="installations", groups=("operator.tigera.io",)),
    CustomKind(plural="tigerastatuses", groups=("operator.tigera.io",)),
    CustomKind(plural="ciliumclusterwidenetworkpolicies", groups=_CILIUM),
    CustomKind(plural="ciliumendpoints", groups=_CILIUM, of_namespace=True),
    CustomKind(plural="ciliumnetworkpolicies", groups=_CILIUM),
    CustomKind(plural="ciliumnodes", groups=_CILIUM),
    CustomKind(plural="adminnetworkpolicies", groups=_ADMIN_POLICY, versions=("v1alpha1",)),
    CustomKind(plural="baselineadminnetworkpolicies", groups=_ADMIN_POLICY, versions=("v1alpha1",)),
    CustomKind(plural="clusternetworkpolicies", groups=_ADMIN_POLICY, versions=("v1", "v1beta1", "v1alpha2")),
)


def _list(resource: str, group: str = "", *, why: str, is_optional: bool = True) -> Need:
    return Need(verb="list", resource=resource, group=group, why=why, is_optional=is_optional)


SNAPSHOT_NEEDS: tuple[Need, ...] = (
    _list("pods", why="what is diagnosed, and who shares its nodes", is_optional=False),
    _list("namespaces", why="the namespace, its labels for policies, and names for typing errors"),
    Need(verb="get", resource="namespaces", is_optional=True, why="the namespace, where listing is not allowed"),
    _list("nodes", why="addresses, conditions and kernels of the nodes"),
    _list("services", why="the Services of the namespace, DNS and the API, and whose addresses others claim"),
    _list("endpointslices", "discovery.k8s.io", why="the endpoints of the Services"),
    _list("networkpolicies", "networking.k8s.io", why="who may talk to whom"),
    _list("daemonsets", "apps", why="the CNI's and kube-proxy's agents"),
    _list("deployments", "apps", why="the workloads, DNS and the CNI's controllers"),
    _list("replicasets", "apps", why="what changed in the namespace, and when"),
    _list("controllerrevisions", "apps", why="what changed in the CNI, and when"),
    _list("events", why="what kubelets and controllers complained about"),
    *(
        Need(
            verb="get",
            resource="configmaps",
            namespace=namespace,
            is_optional=True,
            why="the configuration of the CNI, DNS and kube-proxy",
        )
        for namespace in sorted({namespace for namespace, _ in CONFIG_MAPS})
    ),
    *(
        _list(kind.plural, group, why="the configuration and state of the CNI")
        for kind in CUSTOM_KINDS
        for group in kind.groups
    ),
)
"""The permissions that a snapshot uses. All but the first are optional: what is missing is reported as not seen."""
