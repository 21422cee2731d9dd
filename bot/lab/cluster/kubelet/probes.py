"""Readiness, liveness and startup probes, made from the node's own network as a kubelet makes them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence

from bot.lab.cluster.apiserver.kubelet_api import ExecError
from bot.lab.cluster.images.serving import go_error
from bot.lab.cluster.kubelet.commands import start_command
from bot.lab.cluster.names import Json
from bot.lab.cluster.supervisor.host import Host, Sandbox


class Prober:
    """Runs a pod's probes; ``run`` gives None for success, else the kubelet's sentence."""

    def __init__(self, host: Host, pod: Json, ip: str, sandbox: Sandbox) -> None:
        self._host = host
        self._pod = pod
        self._ip = ip
        self._sandbox = sandbox

    async def run(self, probe: Json, container: Json) -> str | None:
        """One attempt within ``timeoutSeconds``."""
        limit_s = float(probe.get("timeoutSeconds") or 1)
        if "exec" in probe:
            return await self._exec(probe["exec"]["command"], container["image"], limit_s)
        if "tcpSocket" in probe:
            return await self._tcp(_port(probe["tcpSocket"]["port"], container), limit_s)
        if "httpGet" in probe:
            return await self._http(probe["httpGet"], container, limit_s)
        return None

    async def _exec(self, argv: Sequence[str], image: str, limit_s: float) -> str | None:
        try:
            command = await start_command(self._host, argv, image=image, sandbox=self._sandbox)
        except ExecError as error:
            return str(error)
        try:
            async with asyncio.timeout(limit_s):
                output = b"".join([chunk async for chunk in command.stdout])
                code = await command.wait()
        except TimeoutError:
            return f'command timed out: "{" ".join(argv)}" timed out after {limit_s:g}s'
        finally:
            command.kill()
        return None if code == 0 else output.decode(errors="replace")[:1024]

    async def _tcp(self, port: int, limit_s: float) -> str | None:
        with self._host.socket() as sock:
            try:
                async with asyncio.timeout(limit_s):
                    await asyncio.get_running_loop().sock_connect(sock, (self._ip, port))
            except OSError as error:
                return go_error(self._ip, port, error)
        return None

    async def _http(self, get: Json, container: Json, limit_s: float) -> str | None:
        host, port, path = get.get("host") or self._ip, _port(get["port"], container), get.get("path") or "/"
        url = f"{get.get('scheme', 'HTTP').lower()}://{host}:{port}{path}"
        if get.get("scheme") == "HTTPS":
            return await self._tcp(port, limit_s)  # the lab's images speak no TLS; that something listens must do
        loop = asyncio.get_running_loop()
        with self._host.socket() as sock:
            try:
                async with asyncio.timeout(limit_s):
                    await loop.sock_connect(sock, (host, port))
                    request = f"GET {path} HTTP/1.0\r\nHost: {host}:{port}\r\nUser-Agent: kube-probe/1.36\r\n\r\n"
                    await loop.sock_sendall(sock, request.encode())
                    answer = await loop.sock_recv(sock, 256)
            except TimeoutError:
                return f'Get "{url}": context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
            except OSError as error:
                return f'Get "{url}": {go_error(host, port, error)}'
        words = answer.split(b" ", 2)
        status = 0
        with contextlib.suppress(IndexError, ValueError):
            status = int(words[1])
        return None if 200 <= status < 400 else f"HTTP probe failed with statuscode: {status}"


def _port(port: int | str, container: Json) -> int:
    if isinstance(port, int) or port.isdigit():
        return int(port)
    return next((one["containerPort"] for one in container.get("ports", ()) if one.get("name") == port), 0)
