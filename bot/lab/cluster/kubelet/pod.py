"""One pod on one node: sandbox, network, containers, probes, status, graceful end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import posixpath
import secrets
import signal
from collections.abc import Awaitable
from typing import Final

import structlog

from bot.aio.groups import TaskGroup
from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.dataplane.base import CniError, PodNetwork
from bot.lab.cluster.kubelet import environment
from bot.lab.cluster.kubelet.container import RunningContainer
from bot.lab.cluster.kubelet.context import KubeletContext
from bot.lab.cluster.kubelet.probes import Prober
from bot.lab.cluster.kubelet.status import ContainerStatus, conditions, phase, timestamp
from bot.lab.cluster.names import Json
from bot.lab.cluster.supervisor.host import HostError, Sandbox

log = structlog.get_logger()
_SANDBOX_RETRY_S: Final = 2.0
_MAIN_PLUGINS: Final = {"calico-vxlan": "calico", "flannel-vxlan": "flannel", "cilium-tunnel": "cilium-cni"}
NETWORK_NOT_READY: Final = (
    "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady "
    "message:Network plugin returns error: cni plugin not initialized"
)


class NetworkNotReadyError(Exception):
    """The node has no CNI configuration: its pods wait."""


class PodWorker:
    """Runs one pod until `stop`."""

    def __init__(self, context: KubeletContext, pod: Json) -> None:
        self.context = context
        self.pod = pod
        self.sandbox: Sandbox | None = None
        self.network: PodNetwork | None = None
        self.ip = ""
        self.configuration: dict[tuple[str, str], Json] = {}
        self._stopping = asyncio.Event()
        self._started_at = timestamp()
        self._initialized = False
        spec = pod["spec"]
        self.init_containers = [RunningContainer(self, one) for one in spec.get("initContainers", ())]
        self.containers = [RunningContainer(self, one) for one in spec["containers"]]

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name."""
        return self.pod["metadata"]["namespace"], self.pod["metadata"]["name"]

    def stop(self, pod: Json | None = None) -> None:
        """Begin the graceful end; ``pod`` is its newest version."""
        if pod is not None:
            self.pod = pod
        self._stopping.set()

    async def run(self) -> None:
        """From sandbox to deletion."""
        if await self._prepare():
            async with TaskGroup() as group:
                life = group.create_task(self._live())
                await self._stopping.wait()
                life.cancel()
        await self._end()

    async def _prepare(self) -> bool:
        """Sandbox and network, retried until they stand; False when the pod was deleted meanwhile.

        Not cancelled by `stop`, so no half-made sandbox is forgotten.
        """
        while not self._stopping.is_set():
            try:
                await self._check_network_ready()
                async with self.context.turns:
                    await self._make_sandbox()
            except NetworkNotReadyError:
                self.context.recorder.record(
                    self.pod, "NetworkNotReady", f"network is not ready: {NETWORK_NOT_READY}", warning=True
                )
            except (CniError, HostError) as error:
                self._sandbox_failed(error)
                await self._discard_sandbox()
            except LookupError as error:
                self.context.recorder.record(self.pod, "FailedMount", str(error.args[0]), warning=True)
            else:
                return not self._stopping.is_set()
            self.report()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_SANDBOX_RETRY_S):
                    await self._stopping.wait()
        return False

    async def _check_network_ready(self) -> None:
        if self.pod["spec"].get("hostNetwork"):
            return
        if not await self.context.configuration():
            raise NetworkNotReadyError

    async def _make_sandbox(self) -> None:
        node, host_network = self.context.node, bool(self.pod["spec"].get("hostNetwork"))
        self._load_configuration()
        layout = environment.layout(self.pod, self.configuration, self.context.token(self.pod))
        if layout.missing:
            volume = layout.missing[0]
            raise LookupError(f"MountVolume.SetUp failed for volume : {volume}")
        self.sandbox = await node.host.sandbox(
            self.pod["metadata"]["uid"],
            hostname=environment.hostname(self.pod),
            host_network=host_network,
            files=layout.files,
            mounts=layout.mounts,
        )
        if host_network:
            self.ip = node.ip
            return
        await self._check_plugins()
        self.network = await self.context.plane.add_pod(node, self.pod, self.sandbox)
        self.ip = self.network.ip
        path = f"/var/lib/kubelet/pods/{self.sandbox.uid}/etc-hosts"
        await node.host.steps([{"write": {path: environment.hosts(self.pod, self.ip)}}])

    async def _check_plugins(self) -> None:
        """What the container runtime needs before it can call the plugin."""
        configuration = await self.context.configuration()
        wanted = self.context.plane.requirements(configuration)
        missing = await self.context.node.host.missing(list(wanted))
        if missing:
            raise CniError(wanted[missing[0]])
        await self._check_chain(configuration, posixpath.dirname(next(path for path in wanted if "/cni" in path)))

    async def _check_chain(self, configuration: str, folder: str) -> None:
        """Every plugin that the configuration chains has to be there, whoever has put it into the list."""
        (read,) = await self.context.node.host.steps([{"read": [configuration]}])
        try:
            chain = [str(one["type"]) for one in json.loads(read.out)["plugins"]]
        except (ValueError, KeyError, TypeError) as error:
            raise CniError(f"error parsing configuration list: {error}") from error
        absent = await self.context.node.host.missing([f"{folder}/{name}" for name in chain])
        if absent:
            name = posixpath.basename(absent[0])
            words = f'failed to find plugin "{name}" in path [{folder}]'
            raise CniError(f'plugin type="{name}" failed (add): {words}')

    def _load_configuration(self) -> None:
        resources = {"ConfigMap": "configmaps", "Secret": "secrets"}
        for kind, name in environment.references(self.pod):
            found = self.context.storage.find(resources[kind], name, self.key[0])
            if found is not None:
                self.configuration[kind, name] = dict(found)

    def _sandbox_failed(self, error: Exception) -> None:
        words = str(error)
        if isinstance(error, CniError) and not words.startswith("plugin type="):
            main = _MAIN_PLUGINS[self.context.plane.cni]
            words = f'plugin type="{main}" failed (add): {words}'
        why = f'rpc error: code = Unknown desc = failed to setup network for sandbox "{secrets.token_hex(32)}": {words}'
        sentence = f"Failed to create pod sandbox: {why}"
        self.context.recorder.record(self.pod, "FailedCreatePodSandBox", sentence, warning=True)

    async def _discard_sandbox(self) -> None:
        if self.sandbox is not None:
            await self.context.node.host.remove_sandbox(self.sandbox)
            self.sandbox = None

    async def _live(self) -> None:
        for container in self.init_containers:
            await container.keep_running("OnFailure")
        self._initialized = True
        self.report()
        policy = self.pod["spec"].get("restartPolicy", "Always")
        async with TaskGroup() as group:
            for container in self.containers:
                group.create_task(container.keep_running(policy))

    def prober(self) -> Prober:
        """For the containers; only while the sandbox stands."""
        assert self.sandbox is not None
        return Prober(self.context.node.host, self.pod, self.ip, self.sandbox)

    def report(self) -> None:
        """Write the pod's status if it is still there."""
        statuses = [one.status for one in self.containers]
        status: Json = {
            "phase": phase(self.pod, statuses),
            "hostIP": self.context.node.ip,
            "hostIPs": [{"ip": self.context.node.ip}],
            "startTime": self._started_at,
            "qosClass": "BestEffort",
            "containerStatuses": [one.as_json() for one in statuses],
            "conditions": conditions(
                self.pod, statuses, has_sandbox=self.sandbox is not None, initialized=self._initialized
            ),
        }
        if self.init_containers:
            status["initContainerStatuses"] = [one.status.as_json() for one in self.init_containers]
        if self.ip:
            status |= {"podIP": self.ip, "podIPs": [{"ip": self.ip}]}
        namespace, name = self.key
        with contextlib.suppress(ApiError):  # deleted, or replaced by a namesake: the next event says so
            current = self.context.storage.find("pods", name, namespace)
            if current is not None and current["metadata"]["uid"] == self.pod["metadata"]["uid"]:
                self.pod = self.context.storage.patch("pods", name, namespace, {"status": status}, subresource="status")

    async def _end(self) -> None:
        running = [one for one in (*self.init_containers, *self.containers) if one.program is not None]
        for container in running:
            self.context.recorder.record(self.pod, "Killing", f"Stopping container {container.status.name}")
            container.kill(signal.SIGTERM)
        grace_s = float(self.pod["metadata"].get("deletionGracePeriodSeconds") or 0) or 1.0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                for container in running:
                    await container.ended()
        if self.network is not None:
            await _tolerant(self.context.plane.delete_pod(self.context.node, self.network))
        await _tolerant(self._discard_sandbox())
        self._delete_object()

    def _delete_object(self) -> None:
        namespace, name = self.key
        current = self.context.storage.find("pods", name, namespace)
        if current is not None and current["metadata"]["uid"] == self.pod["metadata"]["uid"]:
            with contextlib.suppress(ApiError):
                self.context.storage.delete("pods", name, namespace, grace_period_s=0)

    def statuses(self) -> list[ContainerStatus]:
        """Of all containers, initial ones first."""
        return [one.status for one in (*self.init_containers, *self.containers)]


async def _tolerant(work: Awaitable[None]) -> None:
    """Removal goes on after a failure: what is left dies with the lab."""
    try:
        await work
    except HostError as error:
        log.warning("kubelet.cleanup_failed", error=str(error))
