"""What every kind of policy asks of an end: its named ports; and how a custom object is called."""

from collections.abc import Iterator
from typing import Literal

from bot.cluster.objects import Container, CustomObject, Pod

Direction = Literal["ingress", "egress"]


def name_of_custom(policy: CustomObject) -> str:
    """A custom object as "Kind namespace/name"."""
    meta = policy.metadata
    return f"{policy.kind or 'policy'} {f'{meta.namespace}/' if meta.namespace else ''}{meta.name}"


def named_ports(pod: Pod) -> Iterator[tuple[str, str, int]]:
    """The ports that a pod's containers name: name, protocol, number."""
    containers: tuple[Container, ...] = (*pod.spec.containers, *pod.spec.init_containers)
    for container in containers:
        for port in container.ports:
            if port.name:
                yield port.name, port.protocol or "TCP", port.container_port


def is_named_port(pod: Pod, name: str, protocol: str, number: int) -> bool:
    """Whether a container of the pod calls this port by that name."""
    return any((name, protocol, number) == each for each in named_ports(pod))
