"""The lab as a whole: hosts, data plane, API server, controllers, kubelets, proxies, workloads, control socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import structlog

from bot.aio.groups import TaskGroup
from bot.lab.cluster.apiserver.bootstrap import bootstrap
from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.http import server
from bot.lab.cluster.apiserver.pki import Pki
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.tokens import Tokens
from bot.lab.cluster.controllers import run_controllers
from bot.lab.cluster.dataplane import calico_pools, cilium_config, underlay
from bot.lab.cluster.dataplane.base import DataPlane, Node
from bot.lab.cluster.dataplane.calico import Calico
from bot.lab.cluster.dataplane.first_cilium import FirstCilium
from bot.lab.cluster.dataplane.planes import make_plane
from bot.lab.cluster.dataplane.policy_agent import PolicyAgents
from bot.lab.cluster.dataplane.two_overlays import TwoOverlays
from bot.lab.cluster.faults.injection import FaultTarget
from bot.lab.cluster.faults.injector import FaultInjector
from bot.lab.cluster.kubelet.api import Kubelets
from bot.lab.cluster.kubelet.context import KubeletContext
from bot.lab.cluster.kubelet.events import Recorder
from bot.lab.cluster.kubelet.kubelet import Kubelet, register
from bot.lab.cluster.names import API_PORT, BARE, Json, node_ip, node_names, node_pod_cidr
from bot.lab.cluster.proxy.kube_proxy import KubeProxies
from bot.lab.cluster.supervisor.agents import Agents
from bot.lab.cluster.supervisor.boot import OUTSIDE, UNDERLAY, BootedHost
from bot.lab.cluster.supervisor.control_server import ControlServer
from bot.lab.cluster.supervisor.custom_objects import CustomObjects
from bot.lab.cluster.supervisor.host import Host, Sandbox
from bot.lab.cluster.supervisor.ready import wait_until_ready
from bot.lab.cluster.workloads import catalogue
from bot.lab.errors import LabUsageError

log = structlog.get_logger()
_TOKEN_LIFETIME_S: Final = 3607
_PARALLEL_SANDBOXES: Final = 8
_OUTSIDE_IMAGE: Final = "lab.invalid/outside"


def run(config: Json, booted: Sequence[BootedHost]) -> None:
    """Run the lab until SIGTERM, the control socket's ``down`` or the end of the lifeline."""
    # A failure propagates: the interpreter prints it into the log, and the kernel removes everything.
    asyncio.run(Lab(config, booted).run())


class Lab:
    """Everything in one event loop. The order in `run` is the order of a cluster's birth."""

    def __init__(self, config: Json, booted: Sequence[BootedHost]) -> None:
        self._config = config
        self._booted = booted
        self._stop = asyncio.Event()
        self.hosts: dict[str, Host] = {}

    async def run(self) -> None:
        """From booted hosts to a ready cluster, and on until asked to stop."""
        self._watch_signals()
        async with TaskGroup() as group:
            life = group.create_task(self._live())
            await self._stop.wait()
            life.cancel()
            # Before the API server says good-bye: clients that are dead keep no connection open.
            for host in self.hosts.values():
                host.close()

    async def _live(self) -> None:
        async with TaskGroup() as group:
            await self._build(group)
            os.write(self._config["report_fd"], b"ready\n")
            os.close(self._config["report_fd"])

    def _watch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop.set)
        loop.add_signal_handler(signal.SIGINT, self._stop.set)
        loop.add_signal_handler(signal.SIGCHLD, _reap)
        lifeline = self._config.get("lifeline_fd")
        if lifeline is not None:
            loop.add_reader(lifeline, self._lifeline_ended, lifeline)

    def _lifeline_ended(self, fd: int) -> None:
        asyncio.get_running_loop().remove_reader(fd)
        self._stop.set()

    async def _build(self, group: TaskGroup) -> None:
        await self._build_network(group)
        self._build_api(group)
        self._build_nodes(group)
        self._build_control(group)
        group.create_task(run_controllers(self.storage, ca_pem=self.pki.ca_pem))
        await self._apply_workloads()

    async def _build_network(self, group: TaskGroup) -> None:
        self.hosts = {one.name: Host(one) for one in self._booted}
        for host in self.hosts.values():
            group.create_task(host.serve())
        for host in self.hosts.values():
            await host.ready()
        names = node_names(self._config["nodes"])
        self.nodes = [
            Node(index=index, name=name, ip=node_ip(index), pod_cidr=node_pod_cidr(index), host=self.hosts[name])
            for index, name in enumerate(names)
        ]
        self.plane: DataPlane = make_plane(self._config["cni"])
        pids = {one.name: one.pid for one in self._booted}
        await underlay.build(self.hosts[UNDERLAY], self.hosts[OUTSIDE], self.nodes, pids)
        if isinstance(self.plane, Calico):
            self.plane.pool_refusal = lambda node: calico_pools.refusal(self.storage, node)
        installed = self.plane.cilium if isinstance(self.plane, TwoOverlays) else self.plane
        if isinstance(installed, FirstCilium):
            installed.config = lambda node: cilium_config.of(self.storage, node)
            group.create_task(installed.run())
        await self.plane.start(self.nodes)
        await self._start_outside()

    async def _start_outside(self) -> None:
        null = os.open(os.devnull, os.O_RDWR)
        try:
            await self.hosts[OUTSIDE].start([], (null, null, null), image=_OUTSIDE_IMAGE, options={"main": True})
        finally:
            os.close(null)

    def _build_api(self, group: TaskGroup) -> None:
        directory = Path(self._config["state"])
        self.storage = Storage()
        bootstrap(self.storage, api_address=self.nodes[0].ip, api_port=API_PORT)
        self.pki = Pki.create(directory / "pki", addresses=[node.ip for node in self.nodes])
        self.tokens = Tokens(self.storage, self.pki.signing_key())
        self.kubelets: dict[str, Kubelet] = {}
        api = socket.socket(fileno=self._config["api_fd"])
        sockets = [api, self._control_plane_socket()]
        group.create_task(
            server.serve(self.storage, Kubelets(self.kubelets), sockets, pki=self.pki, tokens=self.tokens)
        )
        port = api.getsockname()[1]
        self.pki.kubeconfig(directory / "kubeconfig", server=f"https://127.0.0.1:{port}", token=self.tokens.add())

    def _control_plane_socket(self) -> socket.socket:
        """The same API on the first node's own address, where the Service ``kubernetes`` leads."""
        sock = self.nodes[0].host.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("0.0.0.0", API_PORT))
        return sock

    def _build_nodes(self, group: TaskGroup) -> None:
        self.proxies = KubeProxies(self.storage, self.nodes)
        policies = PolicyAgents(self.storage, self.plane, self.nodes)
        agents = Agents(self.plane, self.proxies, policies)
        version = catalogue.kubelet_version(self._config["cni"])
        for node in self.nodes:
            register(self.storage, node, self.plane, version, control_plane=node.index == 0)
            context = KubeletContext(
                node=node,
                plane=self.plane,
                storage=self.storage,
                recorder=Recorder(self.storage, "kubelet", node.name),
                agents=agents,
                token=self._token,
                turns=asyncio.Semaphore(_PARALLEL_SANDBOXES),
            )
            self.kubelets[node.name] = Kubelet(context)
            group.create_task(self.kubelets[node.name].run())
            if not catalogue.has_kube_proxy_pods(self._config["cni"]):
                self.proxies.start(node.name)
        group.create_task(self.proxies.run())
        group.create_task(policies.run())
        group.create_task(CustomObjects(self.storage, self.plane).run())
        target = FaultTarget(
            nodes=self.nodes,
            plane=self.plane,
            storage=self.storage,
            proxies=self.proxies,
            policies=policies,
            underlay=self.hosts[UNDERLAY],
        )
        self.injector = FaultInjector(target)

    def _token(self, pod: Json) -> Mapping[str, str]:
        namespace = pod["metadata"]["namespace"]
        account = pod["spec"].get("serviceAccountName", "default")
        try:
            token, _ = self.tokens.issue(namespace, account, lifetime_s=_TOKEN_LIFETIME_S, pod=pod)
        except ApiError:
            return {}
        return {"token": token, "ca.crt": self.pki.ca_pem, "namespace": namespace}

    def _build_control(self, group: TaskGroup) -> None:
        handlers = {
            "status": self._status,
            "faults": self._faults,
            "break": self._break,
            "heal": self._heal,
            "change": self._change,
            "restore": self._restore,
            "down": self._down,
        }
        listener = socket.socket(fileno=self._config["control_fd"])
        group.create_task(ControlServer(listener, handlers, self._resolve).run())

    async def _apply_workloads(self) -> None:
        if self._config["cni"] == BARE:
            for obj in catalogue.objects(BARE):
                catalogue.create(self.storage, obj)
            await wait_until_ready(self.storage, only=("daemonsets.apps",))
            return
        for stage in catalogue.stages(self._config["cni"], system_only=not self._config["workloads"]):
            for obj in stage:
                catalogue.create(self.storage, obj)
            await wait_until_ready(self.storage)
        if self._config["pods"]:
            catalogue.apply_filler(self.storage, [node.name for node in self.nodes], self._config["pods"])
            await wait_until_ready(self.storage)

    # Control

    async def _status(self, _: Json) -> Json:
        return {
            "cni": self._config["cni"],
            "kubeconfig": str(Path(self._config["state"]) / "kubeconfig"),
            "nodes": [{"name": n.name, "ip": n.ip, "pods": len(self.kubelets[n.name].workers)} for n in self.nodes],
            "networks": [
                {"namespace": pod.namespace, "name": pod.name, "ip": pod.ip, "node": node, "veth": pod.veth}
                for node, pods in self.plane.pods.items()
                for pod in pods.values()
            ],
            "services": [
                {
                    "namespace": one["metadata"]["namespace"],
                    "name": one["metadata"]["name"],
                    "ip": one["spec"].get("clusterIP", ""),
                    "tcp": [port["port"] for port in one["spec"].get("ports") or () if port.get("protocol") == "TCP"],
                }
                for one in self.storage.peek("services")
            ],
            "injected": self.injector.injected,
        }

    async def _faults(self, _: Json) -> Json:
        return {"faults": self.injector.faults()}

    async def _break(self, request: Json) -> Json:
        return await self.injector.inject(request["fault"], request.get("node", ""), request.get("pod", ""))

    async def _heal(self, _: Json) -> Json:
        return {"healed": await self.injector.heal()}

    async def _change(self, request: Json) -> Json:
        return await self.injector.change(request["changes"])

    async def _restore(self, request: Json) -> Json:
        return {"healed": await self.injector.restore(request["nodes"])}

    async def _down(self, _: Json) -> Json:
        self._stop.set()
        return {}

    def _resolve(self, target: str) -> tuple[Host, Sandbox | None]:
        if target in self.hosts:
            return self.hosts[target], None
        namespace, slash, name = target.partition("/")
        found: Any = self.storage.find("pods", name, namespace) if slash else None
        worker = Kubelets(self.kubelets).worker(dict(found)) if found else None
        if worker is None or worker.sandbox is None:
            hosts = ", ".join(self.hosts)
            raise LabUsageError(f"there is no node or running pod {target!r}; nodes are {hosts}, pods NAMESPACE/POD")
        return worker.context.node.host, worker.sandbox


def _reap() -> None:
    """The daemon is process 1 of its PID namespace: whoever loses its parent becomes its child."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            continue
