"""The API by which the API server reaches the kubelets: exec and logs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence

from bot.lab.cluster.apiserver.errors import bad_request
from bot.lab.cluster.apiserver.kubelet_api import ExecError, ExecProcess
from bot.lab.cluster.kubelet import environment
from bot.lab.cluster.kubelet.commands import start_command
from bot.lab.cluster.kubelet.container import RunningContainer
from bot.lab.cluster.kubelet.kubelet import Kubelet
from bot.lab.cluster.kubelet.pod import PodWorker
from bot.lab.cluster.names import Json


class Kubelets:
    """See `bot.lab.cluster.apiserver.kubelet_api.KubeletApi`."""

    def __init__(self, by_node: Mapping[str, Kubelet]) -> None:
        self._by_node = by_node

    def worker(self, pod: Json) -> PodWorker | None:
        """The worker of a pod on its node."""
        kubelet = self._by_node.get(pod["spec"].get("nodeName", ""))
        return kubelet.workers.get(pod["metadata"]["uid"]) if kubelet else None

    def _container(self, pod: Json, name: str) -> tuple[PodWorker, RunningContainer]:
        worker = self.worker(pod)
        for container in (*worker.init_containers, *worker.containers) if worker else ():
            if worker is not None and name in {"", container.status.name}:
                return worker, container
        raise ExecError(f"container {name} is not valid for pod {pod['metadata']['name']}")

    async def exec(self, pod: Json, container: str, argv: Sequence[str], *, stdin: bool, tty: bool) -> ExecProcess:
        """Run a command in a container."""
        worker, running = self._container(pod, container)
        if running.program is None or worker.sandbox is None:
            raise ExecError(f'container not found ("{running.status.name}")')
        spec = next(
            one
            for one in (*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"])
            if one["name"] == running.status.name
        )
        host_ip = worker.context.node.ip
        env = environment.variables(worker.pod, spec, ip=worker.ip, host_ip=host_ip, configuration=worker.configuration)
        image = running.status.image
        host = worker.context.node.host
        return await start_command(host, argv, image=image, sandbox=worker.sandbox, env=env, stdin=stdin, tty=tty)

    async def logs(
        self,
        pod: Json,
        container: str,
        *,
        follow: bool,
        tail_lines: int | None,
        previous: bool = False,
        limit_bytes: int | None = None,
    ) -> AsyncIterator[bytes]:
        """A container's log."""
        try:
            _, running = self._container(pod, container)
        except ExecError as error:
            raise bad_request(str(error)) from error
        log = running.previous_log if previous else running.log
        if log is None:
            name = pod["metadata"]["name"]
            raise bad_request(f'previous terminated container "{container}" in pod "{name}" not found')
        left = limit_bytes
        async for line in log.read(follow=follow, tail_lines=tail_lines):
            if left is None:
                yield line
                continue
            yield line[:left]
            left -= len(line)
            if left <= 0:
                return
