"""One container of a pod: started, probed, restarted with back-off."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
from typing import Final, Protocol

from bot.aio.groups import TaskGroup
from bot.lab.cluster.images.registry import find_image
from bot.lab.cluster.kubelet import environment
from bot.lab.cluster.kubelet.context import KubeletContext
from bot.lab.cluster.kubelet.probes import Prober
from bot.lab.cluster.kubelet.status import ContainerStatus, timestamp
from bot.lab.cluster.kubelet.streams import ContainerLog, watch_pipe
from bot.lab.cluster.names import Json
from bot.lab.cluster.supervisor.host import HostError, Program, Sandbox

_PULL_RETRY_S: Final = 10.0
_BACKOFF_S: Final = 10.0
_BACKOFF_MAX_S: Final = 300.0
_EAGER_S: Final = 0.25
"""While a container is unready it is probed this often, for a while: a lab should be up, or healed, in seconds."""
_EAGER_PROBES: Final = 120


class ContainerHost(Protocol):
    """What a container uses of the worker of its pod."""

    context: KubeletContext
    pod: Json
    sandbox: Sandbox | None
    ip: str
    configuration: dict[tuple[str, str], Json]

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and name of the pod."""
        ...

    def report(self) -> None:
        """Put the pod's status into the API."""
        ...

    def prober(self) -> Prober:
        """What runs the container's probes."""
        ...


class RunningContainer:
    """A container of a pod worker."""

    def __init__(self, worker: ContainerHost, spec: Json) -> None:
        self._worker = worker
        self._spec = spec
        self._context = worker.context
        self.status = ContainerStatus(name=spec["name"], image=spec["image"])
        self.program: Program | None = None
        self.log = ContainerLog()
        self.previous_log: ContainerLog | None = None

    def kill(self, number: int) -> None:
        """Signal the container's process, if it runs."""
        if self.program is not None:
            self._context.node.host.kill(self.program, number)

    async def ended(self) -> None:
        """Until the container's process has ended."""
        if self.program is not None:
            await self.program.wait()

    async def keep_running(self, policy: str) -> None:
        """Run, and run again as the restart policy says; returns when it will not run any more."""
        backoff_s = _BACKOFF_S
        while True:
            code = await self._once()
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                return
            self.status.last = self.status.state_json()
            self.status.state, self.status.reason = "waiting", "CrashLoopBackOff"
            name, uid = self._worker.pod["metadata"]["name"], self._worker.pod["metadata"]["uid"]
            pod = f"{name}_{self._worker.key[0]}({uid})"
            who = f"restarting failed container={self.status.name} pod={pod}"
            self.status.message = f"back-off {backoff_s:g}s {who}"
            self._record("BackOff", f"Back-off {who}", warning=True)
            self._worker.report()
            await asyncio.sleep(backoff_s if self.status.restarts else 0.2)
            self.status.restarts += 1
            backoff_s = min(2 * backoff_s, _BACKOFF_MAX_S)
            self.previous_log, self.log = self.log, ContainerLog()

    async def _once(self) -> int:
        """One life of the container; its exit code."""
        await self._pull()
        try:
            self.program = await self._start()
        except HostError as error:
            sentence = (
                f"failed to create containerd task: failed to create shim task: OCI runtime create failed: {error}"
            )
            self._terminated(128, "StartError", sentence)
            return 128
        self._running()
        await self._context.agents.started(self._context.node, self.status.image, self._variables())
        try:
            code = await self._probe_until_exit(self.program)
        finally:
            self._context.agents.stopped(self._context.node, self.status.image)
        self.program = None
        self._terminated(code, "Completed" if code == 0 else "Error", "")
        return code

    async def _pull(self) -> None:
        """Return when the registry has the image; until then report as a kubelet does."""
        image = self.status.image
        failure = f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": not found'
        while True:
            try:
                find_image(image)
            except KeyError:
                self._waiting("ErrImagePull", f"rpc error: code = NotFound desc = {failure}")
                self._record("Failed", f'Failed to pull image "{image}": {failure}', warning=True)
                await asyncio.sleep(_PULL_RETRY_S)
                self._waiting("ImagePullBackOff", f'Back-off pulling image "{image}"')
                self._record("BackOff", f'Back-off pulling image "{image}"')
                await asyncio.sleep(_PULL_RETRY_S)
            else:
                self._record("Pulled", f'Container image "{image}" already present on machine')
                return

    async def _start(self) -> Program:
        worker, context = self._worker, self._context
        env = self._variables()
        command = [environment.expand(word, env) for word in self._spec.get("command", ())]
        argv = command + [environment.expand(word, env) for word in self._spec.get("args", ())]
        null = os.open(os.devnull, os.O_RDONLY)
        read_end, write_end = os.pipe()
        try:
            program = await context.node.host.start(
                argv,
                (null, write_end, write_end),
                image=self.status.image,
                sandbox=worker.sandbox,
                env=env,
                options={"main": True, "args_only": not command, "cwd": "/"},
            )
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(null)
            os.close(write_end)
        watch_pipe(read_end, self.log.feed, self.log.end)
        return program

    def _variables(self) -> dict[str, str]:
        worker = self._worker
        return environment.variables(
            worker.pod, self._spec, ip=worker.ip, host_ip=self._context.node.ip, configuration=worker.configuration
        )

    def _running(self) -> None:
        status = self.status
        identity = f"{self._worker.pod['metadata']['uid']}/{status.name}/{status.restarts}"
        status.container_id = "containerd://" + hashlib.sha256(identity.encode()).hexdigest()
        status.state, status.reason, status.message = "running", "", ""
        status.started_at = timestamp()
        status.is_started = "startupProbe" not in self._spec
        status.is_ready = status.is_started and "readinessProbe" not in self._spec
        self._record("Created", f"Container created: {status.name}")
        self._record("Started", f"Container started: {status.name}")
        self._worker.report()

    def _waiting(self, reason: str, message: str) -> None:
        self.status.state, self.status.reason, self.status.message = "waiting", reason, message
        self.status.is_ready = self.status.is_started = False
        self._worker.report()

    def _terminated(self, code: int, reason: str, message: str) -> None:
        status = self.status
        status.state, status.reason, status.message = "terminated", reason, message
        status.exit_code, status.finished_at = code, timestamp()
        status.is_ready = status.is_started = False
        self._worker.report()

    def _record(self, reason: str, message: str, *, warning: bool = False) -> None:
        path = f"spec.containers{{{self.status.name}}}"
        self._context.recorder.record(self._worker.pod, reason, message, warning=warning, field_path=path)

    async def _probe_until_exit(self, program: Program) -> int:
        async with TaskGroup() as group:
            probes = group.create_task(self._probe())
            code = await program.wait()
            probes.cancel()
        return code

    async def _probe(self) -> None:
        if "startupProbe" in self._spec:
            await self._startup(self._spec["startupProbe"])
        async with TaskGroup() as group:
            if "readinessProbe" in self._spec:
                group.create_task(self._readiness(self._spec["readinessProbe"]))
            if "livenessProbe" in self._spec:
                group.create_task(self._liveness(self._spec["livenessProbe"]))

    async def _startup(self, probe: Json) -> None:
        failures = 0
        while (error := await self._worker.prober().run(probe, self._spec)) is not None:
            failures += 1
            self._record("Unhealthy", f"Startup probe failed: {error}", warning=True)
            if failures >= int(probe.get("failureThreshold") or 3):
                self.kill(signal.SIGTERM)
                return
            await asyncio.sleep(float(probe.get("periodSeconds") or 10))
        self.status.is_started = True
        self.status.is_ready = "readinessProbe" not in self._spec
        self._worker.report()

    async def _readiness(self, probe: Json) -> None:
        """Ready after one success, unready after ``failureThreshold`` failures in a row."""
        period_s = float(probe.get("periodSeconds") or 10)
        threshold = int(probe.get("failureThreshold") or 3)
        prober, failures, attempts, was_ready = self._worker.prober(), 0, 0, False
        await asyncio.sleep(min(float(probe.get("initialDelaySeconds") or 0), _EAGER_S))
        while True:
            error = await prober.run(probe, self._spec)
            attempts += 1
            failures = failures + 1 if error is not None else 0
            if error is not None and (was_ready or attempts > _EAGER_PROBES):
                self._record("Unhealthy", f"Readiness probe failed: {error}", warning=True)
            is_ready = error is None or (self.status.is_ready and failures < threshold)
            if is_ready != self.status.is_ready:
                self.status.is_ready = is_ready
                self._worker.report()
            was_ready = was_ready or is_ready
            attempts = 0 if is_ready else attempts
            waits_long = is_ready or attempts > _EAGER_PROBES
            await asyncio.sleep(period_s if waits_long else min(_EAGER_S, period_s))

    async def _liveness(self, probe: Json) -> None:
        period_s, failures = float(probe.get("periodSeconds") or 10), 0
        await asyncio.sleep(float(probe.get("initialDelaySeconds") or 0))
        while True:
            error = await self._worker.prober().run(probe, self._spec)
            failures = failures + 1 if error is not None else 0
            if error is not None:
                self._record("Unhealthy", f"Liveness probe failed: {error}", warning=True)
            if failures >= int(probe.get("failureThreshold") or 3):
                text = f"Container {self.status.name} failed liveness probe, will be restarted"
                self._record("Killing", text)
                self.kill(signal.SIGTERM)
                return
            await asyncio.sleep(period_s)
