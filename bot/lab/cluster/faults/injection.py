"""The instruments with which faults change a lab; each remembers how to undo what it did."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.dataplane.base import DataPlane, Node, PodNetwork, bridge_batch, ip_batch, nft, sysctl
from bot.lab.cluster.names import Cni, Json
from bot.lab.cluster.supervisor.host import Host, StepResult
from bot.lab.errors import LabError

if TYPE_CHECKING:
    from bot.lab.cluster.dataplane.policy_agent import PolicyAgents
    from bot.lab.cluster.proxy.kube_proxy import KubeProxies

_FOLLOW_S: Final = 15.0
Undo = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """A CNI's VXLAN device: name, network identifier, UDP port."""

    device: str
    vni: int
    port: int


TUNNELS: Final[Mapping[Cni, Tunnel]] = {
    "calico-vxlan": Tunnel(device="vxlan.calico", vni=4096, port=4789),
    "flannel-vxlan": Tunnel(device="flannel.1", vni=1, port=8472),
    "cilium-tunnel": Tunnel(device="cilium_vxlan", vni=2, port=8472),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultTarget:
    """The parts of a lab that a fault may touch."""

    nodes: Sequence[Node]
    plane: DataPlane
    storage: Storage
    proxies: KubeProxies
    policies: PolicyAgents
    underlay: Host


class Injection:
    """One operation: what the fault may touch, where, and the way back.

    ``node`` is the node to break, ``pod`` the pod to break (one of that node's), ``peer`` another node if there is one.
    """

    def __init__(self, target: FaultTarget, node: Node, pod: PodNetwork) -> None:
        self.node = node
        self.pod = pod
        self.nodes = target.nodes
        self.plane = target.plane
        self.storage = target.storage
        self.proxies = target.proxies
        self.policies = target.policies
        self.underlay = target.underlay
        self.undo: list[Undo] = []
        self.changes: list[str] = []

    @property
    def peer(self) -> Node:
        """Another node, the one that serves what seldon-mesh dials if possible; raises LabError on a lab of one."""
        others = [node for node in self.nodes if node.name != self.node.name]
        if not others:
            raise LabError("this fault needs a second node: cnibot lab up --nodes 2")
        return max(others, key=lambda node: any(serves_seldon(pod) for pod in self.plane.pods[node.name].values()))

    @property
    def tunnel(self) -> Tunnel:
        """The CNI's VXLAN device."""
        return TUNNELS[self.plane.cni]

    @property
    def local_pods(self) -> list[PodNetwork]:
        """Every pod with an own network on the node that is struck."""
        return list(self.plane.pods[self.node.name].values())

    # Kernel

    async def sysctl(self, settings: Mapping[str, str | int], *, host: Host | None = None, netns: int = 0) -> None:
        """Write kernel settings; the values found are restored."""
        where = host or self.node.host
        keys = list(settings)
        paths = [f"/proc/sys/{key if '/' in key else key.replace('.', '/')}" for key in keys]
        results = await where.steps([{"read": [path], "netns": netns} for path in paths])
        old = {key: result.out.strip() for key, result in zip(keys, results, strict=True)}
        await where.steps([sysctl(settings, netns=netns)])
        self._done(f"{where.name}: sysctl {dict(settings)}", lambda: _steps(where, [sysctl(old, netns=netns)]))

    async def ip(self, do: Sequence[str], undo: Sequence[str], *, host: Host | None = None, netns: int = 0) -> None:
        """``ip`` commands there and back."""
        where = host or self.node.host
        await where.steps([ip_batch(do, netns=netns)] if do else [])
        back = ip_batch(undo, netns=netns, force=True)
        self._done(f"{where.name}: ip {'; ip '.join(do)}", lambda: _steps(where, [back]))

    async def bridge(self, do: Sequence[str], undo: Sequence[str], *, host: Host | None = None) -> None:
        """``bridge`` commands there and back."""
        where = host or self.node.host
        await where.steps([bridge_batch(do)] if do else [])
        back = bridge_batch(undo, force=True)
        self._done(f"{where.name}: bridge {'; bridge '.join(do)}", lambda: _steps(where, [back]))

    async def nft_table(self, family: str, name: str, body: str, *, host: Host | None = None, netns: int = 0) -> None:
        """An own table, removed again."""
        where = host or self.node.host
        await where.steps([nft(f"table {family} {name} {{\n{body}\n}}\n", netns=netns)])
        back = {"argv": ["nft", "delete", "table", family, name], "netns": netns, "may_fail": True}
        self._done(f"{where.name}: nft table {family} {name}", lambda: _steps(where, [back]))

    async def nft_run(self, do: str, undo: Undo, *, host: Host | None = None) -> None:
        """Any nft script, with its own way back."""
        where = host or self.node.host
        await where.steps([nft(do)])
        self._done(f"{where.name}: nft {do.strip()}", undo)

    async def files(self, contents: Mapping[str, str | None], *, host: Host | None = None) -> None:
        """Write files on a host, or remove them (None); what was there comes back."""
        where = host or self.node.host
        absent = await where.missing(list(contents))
        present = [path for path in contents if path not in absent]
        old = dict(zip(present, [one.out for one in await where.steps([{"read": [p]} for p in present])], strict=True))
        await where.steps(_file_steps(contents))
        back: dict[str, str | None] = {path: old.get(path) for path in contents}
        self._done(f"{where.name}: files {sorted(contents)}", lambda: _steps(where, _file_steps(back)))

    async def look(self, argv: Sequence[str], *, host: Host | None = None, netns: int = 0) -> str:
        """What a program prints; changes nothing."""
        results: list[StepResult] = await (host or self.node.host).steps([{"argv": list(argv), "netns": netns}])
        return results[0].out

    async def background(self, script: str, *, netns: int = 0) -> None:
        """A shell script that runs on in a network namespace of the node until the fault is undone."""
        started = f"setsid sh -c {shlex.quote(script)} >/dev/null 2>&1 </dev/null & echo $!"
        group = (await self.look(["sh", "-c", started], netns=netns)).strip()
        stop: Json = {"argv": ["kill", "-KILL", "--", f"-{group}"]}
        self._done(f"{self.node.name}: {script}", lambda: _steps(self.node.host, [stop]))

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for the cluster to follow a change; raises LabError that says what did not happen."""
        try:
            async with asyncio.timeout(_FOLLOW_S):
                while not condition():  # noqa: ASYNC110 - the condition is about many objects, there is no one event
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise LabError(f"{what}: not within {_FOLLOW_S:g} s") from error

    async def default_route(self, *, netns: int = 0, host: Host | None = None) -> str:
        """``default via … dev …`` as it stands; raises LabError when there is none."""
        found = (await self.look(["ip", "route", "show", "default"], host=host, netns=netns)).strip().splitlines()
        if not found:
            raise LabError("there is no default route to take away")
        return found[0].strip()

    async def gateway(self) -> str:
        """The struck pod's gateway."""
        return (await self.default_route(netns=self.pod.sandbox.pid)).split()[2]

    async def forget_neighbours(self, pods: Sequence[PodNetwork], host: Host | None = None) -> None:
        """Drop what pods have learnt of their gateway, as time does by itself within a minute."""
        steps: list[Json] = [
            {"argv": ["ip", "neigh", "flush", "dev", "eth0"], "netns": pod.sandbox.pid, "may_fail": True}
            for pod in pods
        ]
        await (host or self.node.host).steps(steps)

    # Kubernetes

    def patch(self, resource: str, name: str, namespace: str | None, patch: Json) -> None:
        """A merge patch of an object; the old values of the patched keys come back."""
        before = self.storage.get(resource, name, namespace)
        self.storage.patch(resource, name, namespace, patch)
        back = _reverse(patch, before)

        async def undo() -> None:
            self.storage.patch(resource, name, namespace, back)

        self._done(f"patch {resource} {namespace}/{name} {patch}", undo)

    def create(self, resource: str, obj: Json, namespace: str | None) -> str:
        """A new object, deleted again; its UID."""
        metadata = self.storage.create(resource, obj, namespace=namespace)["metadata"]
        name = metadata["name"]

        async def undo() -> None:
            try:
                self.storage.delete(resource, name, namespace)
            except ApiError as error:
                if error.code != 404:
                    raise

        self._done(f"create {resource} {namespace}/{name}", undo)
        return str(metadata["uid"])

    def delete(self, resource: str, name: str, namespace: str | None) -> None:
        """An object goes, and comes back with the same content (and another UID)."""
        before = self.storage.get(resource, name, namespace)
        for key in ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields"):
            before["metadata"].pop(key, None)
        self.storage.delete(resource, name, namespace)

        async def undo() -> None:
            self.storage.create(resource, before, namespace=namespace)

        self._done(f"delete {resource} {namespace}/{name}", undo)

    def on_undo(self, what: str, undo: Undo) -> None:
        """A way back for something that no instrument here does."""
        self._done(what, undo)

    def _done(self, what: str, undo: Undo) -> None:
        self.changes.append(what)
        self.undo.append(undo)


def serves_seldon(pod: PodNetwork) -> bool:
    """Is this the pod that seldon-mesh's model servers dial?"""
    return pod.namespace == "seldon-mesh" and pod.labels.get("control-plane") == "seldon-scheduler"


def has_label(obj: Mapping[str, Any], key: str, value: str) -> bool:
    """Does a Kubernetes object carry this label?"""
    labels: Mapping[str, str] = obj["metadata"].get("labels") or {}
    return labels.get(key) == value


def _file_steps(contents: Mapping[str, str | None]) -> list[Json]:
    write = {path: content for path, content in contents.items() if content is not None}
    return [{"write": write}, {"remove": [path for path, content in contents.items() if content is None]}]


async def _steps(host: Host, steps: Sequence[Json]) -> None:
    await host.steps([{**step, "may_fail": True} for step in steps])


def _reverse(patch: Json, before: Json) -> Json:
    """The merge patch that brings the keys of ``patch`` back to what they are in ``before``."""
    back: Json = {}
    for key, value in patch.items():
        old = before.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            back[key] = _reverse(value, old)  # pyright: ignore[reportUnknownArgumentType]
        else:
            back[key] = old
    return back
