"""What every data plane does for the lab's kubelets, and the words they share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from bot.lab.cluster.names import Cni, Json
from bot.lab.cluster.supervisor.host import Host, Sandbox


class CniError(Exception):
    """CNI ADD failed; the sentence ends up in the event ``FailedCreatePodSandBox``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A lab node: its place in the cluster and its host."""

    index: int
    name: str
    ip: str
    pod_cidr: str
    host: Host


@dataclass(frozen=True, slots=True, kw_only=True)
class PodNetwork:
    """A pod's attachment as its CNI made it. ``veth`` is the name of the end on the node."""

    namespace: str
    name: str
    uid: str
    ip: str
    veth: str
    sandbox: Sandbox
    labels: Mapping[str, str]


class DataPlane(Protocol):
    """A CNI plugin and its agents. All of its methods are idempotent, as the real ones are."""

    cni: Cni

    @property
    def pods(self) -> Mapping[str, Mapping[str, PodNetwork]]:
        """Attached pods by node name and pod UID."""
        ...

    def node_files(self, name: str) -> Mapping[str, str]:
        """Files that the CNI's installer leaves on a node."""
        ...

    def configurations(self) -> tuple[str, ...]:
        """CNI configuration files, of which the container runtime takes the first that is there.

        A node that has none of them is not ready.
        """
        ...

    def requirements(self, configuration: str) -> Mapping[str, str]:
        """Other files that CNI ADD needs by this configuration, each with the error that its absence causes."""
        ...

    def node_metadata(self, node: Node) -> Json:
        """Labels and annotations that the CNI (or K3s) puts on the Node object."""
        ...

    async def start(self, nodes: Sequence[Node]) -> None:
        """Program every node: devices, routes to the others, masquerading."""
        ...

    def configure(self, node: Node, env: Mapping[str, str]) -> bool:
        """Take the environment of the agent's container; did it change anything that `resync` programs?"""
        ...

    async def resync(self, node: Node) -> None:
        """What the agent does when it starts: bring this node, and what others know of it, back to its invariants."""
        ...

    async def add_pod(self, node: Node, pod: Json, sandbox: Sandbox) -> PodNetwork:
        """CNI ADD; raises CniError."""
        ...

    async def delete_pod(self, node: Node, network: PodNetwork) -> None:
        """CNI DEL."""
        ...

    def custom_definitions(self) -> Iterable[Json]:
        """The CustomResourceDefinitions that the CNI installs."""
        ...

    def custom_objects(self) -> Iterable[tuple[str, Json]]:
        """(resource, object) of the CNI's custom resources as they stand now."""
        ...


def ip_batch(lines: Iterable[str], *, netns: int = 0, force: bool = False) -> Json:
    """A step that runs ``ip`` commands in one process. ``force`` goes on after a failing line."""
    flags = ["-force"] if force else []
    return {"argv": ["ip", *flags, "-batch", "-"], "stdin": "\n".join(lines) + "\n", "netns": netns, "may_fail": force}


def bridge_batch(lines: Iterable[str], *, force: bool = False) -> Json:
    """The same for ``bridge``."""
    flags = ["-force"] if force else []
    return {"argv": ["bridge", *flags, "-batch", "-"], "stdin": "\n".join(lines) + "\n", "may_fail": force}


def nft(script: str, *, netns: int = 0) -> Json:
    """A step that loads an nftables script as one transaction."""
    return {"argv": ["nft", "-f", "-"], "stdin": script, "netns": netns}


def sysctl(settings: Mapping[str, str | int], *, netns: int = 0) -> Json:
    """A step that writes kernel settings (dotted names; slashes where an interface's name holds a dot)."""
    return {"sysctl": {key: str(value) for key, value in settings.items()}, "netns": netns}
