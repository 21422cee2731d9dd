"""Ctrl-C in the middle of a diagnosis leaves nothing behind."""

import asyncio
import os
import signal
import sys

from bot.cluster.client.api import Api
from bot.cluster.objects import Pod
from tests.conftest import LabUnderTest

AGENTS = "/api/v1/namespaces/cnibot/pods"


async def agents(api: Api) -> list[str]:
    listed = await api.list_all(AGENTS, Pod)
    return [pod.metadata.name for pod in listed.items if pod.metadata.deletion_timestamp is None]


def _heeds_ctrl_c() -> None:
    """What a shell starts in the background ignores Ctrl-C, and so does all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def test_ctrl_c_removes_the_node_agents_and_says_so(calico_lab: LabUnderTest) -> None:
    environment = {**os.environ, "KUBECONFIG": str(calico_lab.kubeconfig)}
    async with Api.connect(calico_lab.kubeconfig, None) as api, asyncio.timeout(60):
        command = (sys.executable, "-m", "bot", "diagnose", "seldon-mesh")
        running = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            preexec_fn=_heeds_ctrl_c,
        )
        async for change in api.watch(AGENTS, Pod, timeout_s=30):
            if change.object.status.phase == "Running":
                break
        running.send_signal(signal.SIGINT)
        out, err = await running.communicate()

        assert running.returncode == 130
        assert b"interrupted" in err
        assert b"Traceback" not in err + out
        assert await agents(api) == []
