"""Meshes: proxies in pods, which serve ports at which the application itself does not listen."""

from bot.cluster.objects import Pod

_SIDECARS = frozenset(
    {"istio-proxy", "istio-init", "istio-validation", "linkerd-proxy", "linkerd-init"}
    | {"consul-dataplane", "consul-connect-inject-init", "kuma-sidecar", "kuma-init", "envoy-sidecar"}
)


def has_sidecar(pod: Pod) -> bool:
    """Whether a mesh's proxy or its init container is in the pod."""
    return any(each.name in _SIDECARS for each in (*pod.spec.containers, *pod.spec.init_containers))
