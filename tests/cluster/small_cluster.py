"""The lab's API server in-process, with kubelets that start pods at once and run commands locally."""

import asyncio
import socket
import sys
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bot.lab.cluster.apiserver.bootstrap import bootstrap
from bot.lab.cluster.apiserver.http.fault_injection import ApiFaults
from bot.lab.cluster.apiserver.http.server import serve
from bot.lab.cluster.apiserver.kubelet_api import ExecError
from bot.lab.cluster.apiserver.pki import Pki
from bot.lab.cluster.apiserver.store.storage import Storage
from bot.lab.cluster.apiserver.tokens import Tokens, User
from tests.lab.cluster.apiserver.local_kubelet import LocalKubelet, LocalProcess

Obj = dict[str, Any]
AGENT = (sys.executable, "-m", "bot.agent")
RBAC = "rbac.authorization.k8s.io"


class Kubelet(LocalKubelet):
    """Runs `cnibot-agent` as this tree's agent; programs in `absent` do not exist, those in `instead` are replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.commands: list[tuple[str, str, list[str]]] = []
        self.absent: set[str] = set()
        self.instead: dict[str, Sequence[str]] = {"cnibot-agent": AGENT}

    async def exec(
        self, pod: dict[str, Any], container: str, argv: Sequence[str], *, stdin: bool, tty: bool
    ) -> LocalProcess:
        self.commands.append((pod["metadata"]["name"], container, list(argv)))
        if argv[0] in self.absent:
            raise ExecError(f'exec: "{argv[0]}": executable file not found in $PATH')
        return await super().exec(
            pod, container, (*self.instead.get(argv[0], (argv[0],)), *argv[1:]), stdin=stdin, tty=tty
        )


class SmallCluster:
    """Objects, people and kubelets; `statuses` says what becomes of new pods of a node instead of running."""

    def __init__(self, directory: Path) -> None:
        self.storage = Storage()
        self.kubelet = Kubelet()
        self.api_faults = ApiFaults()
        self.statuses: dict[str, Obj] = {}
        self.pki = Pki.create(directory / "pki")
        self.tokens = Tokens(self.storage, self.pki.signing_key())
        self.url = ""
        self._directory = directory
        bootstrap(self.storage)

    def add(self, resource: str, name: str, namespace: str | None = None, **fields: Any) -> Obj:
        metadata = {"name": name, **fields.pop("metadata", {})}
        return self.storage.create(resource, {"metadata": metadata, **fields}, namespace=namespace)

    def namespace(self, *names: str) -> None:
        for name in names:
            self.add("namespaces", name)

    def node(self, *names: str, **metadata: Any) -> None:
        for name in names:
            status = {"conditions": [{"type": "Ready", "status": "True"}], "nodeInfo": NODE_INFO}
            self.add("nodes", name, metadata=metadata, spec={"podCIDR": "10.42.0.0/24"})
            self.storage.patch("nodes", name, None, {"status": status}, subresource="status")

    def pod(self, namespace: str, name: str, node: str = "node-1", *, image: str = "nginx", **spec: Any) -> Obj:
        containers = spec.pop("containers", [{"name": "main", "image": image}])
        metadata = spec.pop("metadata", {})
        return self.add(
            "pods", name, namespace, metadata=metadata, spec={"nodeName": node, "containers": containers, **spec}
        )

    def kubeconfig(self, user: str = "admin", rules: Sequence[Mapping[str, Any]] | None = None) -> str:
        """A kubeconfig of the administrator, or of a person with exactly these cluster-wide rules."""
        path = self._directory / f"{user}.kubeconfig"
        if rules is None:
            token = self.tokens.add()
        else:
            token = self.tokens.add(User(name=user, groups=("system:authenticated",)))
            self.add(f"clusterroles.{RBAC}", user, rules=list(rules))
            subject = {"apiGroup": RBAC, "kind": "User", "name": user}
            role = {"apiGroup": RBAC, "kind": "ClusterRole", "name": user}
            self.add(f"clusterrolebindings.{RBAC}", user, roleRef=role, subjects=[subject])
        return str(self.pki.kubeconfig(path, server=self.url, token=token, user=user))

    def grant(self, user: str, namespace: str, rules: Sequence[Mapping[str, Any]]) -> None:
        """Rules in one namespace."""
        self.add(f"roles.{RBAC}", user, namespace, rules=list(rules))
        subject = {"apiGroup": RBAC, "kind": "User", "name": user}
        role = {"apiGroup": RBAC, "kind": "Role", "name": user}
        self.add(f"rolebindings.{RBAC}", user, namespace, roleRef=role, subjects=[subject])

    async def run_kubelets(self) -> None:
        """Start what is scheduled, end what is deleted, for ever."""
        while True:
            changed = self.storage.changed
            for pod in self.storage.list("pods"):
                self._tend(pod)
            await changed.wait()

    def _tend(self, pod: Obj) -> None:
        meta, node = pod["metadata"], pod["spec"].get("nodeName")
        if not node:
            return
        if meta.get("deletionTimestamp"):
            self.storage.delete("pods", meta["name"], meta["namespace"], grace_period_s=0)
        elif pod["status"].get("phase", "Pending") == "Pending" and not pod["status"].get("containerStatuses"):
            status = self.statuses.get(node, _running(pod))
            if status:
                self.storage.patch("pods", meta["name"], meta["namespace"], {"status": status}, subresource="status")

    async def until(self, holds: Callable[[], bool]) -> None:
        """Return when something in the store holds."""
        async with asyncio.timeout(10):
            while not holds():
                await self.storage.changed.wait()


NODE_INFO = {
    "architecture": "amd64",
    "bootID": "",
    "containerRuntimeVersion": "containerd://2.1.0",
    "kernelVersion": "6.8.0",
    "kubeProxyVersion": "",
    "kubeletVersion": "v1.36.2",
    "machineID": "",
    "operatingSystem": "linux",
    "osImage": "Debian",
    "systemUUID": "",
}


def _running(pod: Obj) -> Obj:
    return {
        "phase": "Running",
        "podIP": "10.42.0.9",
        "startTime": "2026-01-01T00:00:00Z",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": container["name"],
                "ready": True,
                "started": True,
                "restartCount": 0,
                "image": container["image"],
                "imageID": "",
                "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
            }
            for container in pod["spec"]["containers"]
        ],
    }


@asynccontextmanager
async def small_cluster(directory: Path) -> AsyncGenerator[SmallCluster, None]:
    cluster = SmallCluster(directory)
    sock = socket.create_server(("127.0.0.1", 0))
    cluster.url = f"https://127.0.0.1:{sock.getsockname()[1]}"
    async with cluster.kubelet, asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                serve(
                    cluster.storage,
                    cluster.kubelet,
                    sock,
                    pki=cluster.pki,
                    tokens=cluster.tokens,
                    api_faults=cluster.api_faults,
                )
            ),
            group.create_task(cluster.run_kubelets()),
        ]
        try:
            yield cluster
        finally:
            for task in tasks:
                task.cancel()
