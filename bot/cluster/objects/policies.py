"""NetworkPolicies, in full: an absent selector and an empty one mean opposite things."""

# ruff: noqa: D101
# Names and meanings are the Kubernetes API's own; a docstring stands where it would surprise.

from bot.cluster.objects.base import KubeStruct, LabelSelector, ObjectMeta


class IPBlock(KubeStruct, frozen=True, kw_only=True):
    cidr: str = ""
    except_: tuple[str, ...] = ()


class NetworkPolicyPeer(KubeStruct, frozen=True, kw_only=True):
    """`pod_selector` alone means pods of the policy's own namespace."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


class NetworkPolicyPort(KubeStruct, frozen=True, kw_only=True):
    """`port` None means all ports of the protocol."""

    protocol: str = "TCP"
    port: int | str | None = None
    end_port: int | None = None


class NetworkPolicyIngressRule(KubeStruct, frozen=True, kw_only=True):
    """No `from_` means from everywhere, no `ports` means all ports."""

    from_: tuple[NetworkPolicyPeer, ...] = ()
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicyEgressRule(KubeStruct, frozen=True, kw_only=True):
    """No `to` means to everywhere, no `ports` means all ports."""

    to: tuple[NetworkPolicyPeer, ...] = ()
    ports: tuple[NetworkPolicyPort, ...] = ()


class NetworkPolicySpec(KubeStruct, frozen=True, kw_only=True):
    """An empty `pod_selector` selects every pod of the namespace; no rules of a named type means deny."""

    pod_selector: LabelSelector = LabelSelector()
    policy_types: tuple[str, ...] = ()
    ingress: tuple[NetworkPolicyIngressRule, ...] = ()
    egress: tuple[NetworkPolicyEgressRule, ...] = ()


class NetworkPolicy(KubeStruct, frozen=True, kw_only=True):
    metadata: ObjectMeta = ObjectMeta()
    spec: NetworkPolicySpec = NetworkPolicySpec()
