"""The worker: a real process, diagnosing the lab."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.cluster.client.api import Api
from bot.cluster.objects import Pod
from bot.diagnosis.request import Progress, Request, silent
from bot.domain.errors import BotError, UnknownNamespaceError
from bot.incidents.worker import DiagnosisWorker, WorkerError, open_worker
from tests.conftest import LabUnderTest
from tests.slack.waiting import until

SHOP = Request(namespace="shop")


def speaking(script: str) -> tuple[str, ...]:
    """A program that says what no worker should."""
    return sys.executable, "-c", script


async def agents(lab: LabUnderTest) -> set[str]:
    """The node agents that nobody has deleted."""
    async with Api.connect(lab.kubeconfig) as api:
        pods = await api.list_all("/api/v1/namespaces/cnibot/pods", Pod)
    return {pod.metadata.name for pod in pods.items if not pod.metadata.deletion_timestamp}


@pytest.fixture
async def older_agents(calico_lab: LabUnderTest) -> set[str]:
    """Those that were there before: who is killed leaves some."""
    return await agents(calico_lab)


async def begun(worker: DiagnosisWorker, lab: LabUnderTest, group: asyncio.TaskGroup) -> asyncio.Task[object]:
    """A diagnosis that has begun to look at nodes."""
    at_nodes = asyncio.Event()

    def tell(progress: Progress) -> None:
        if progress.stage == "node":
            at_nodes.set()

    task: asyncio.Task[object] = group.create_task(worker.diagnose(lab.kubeconfig, None, SHOP, tell))
    await at_nodes.wait()
    return task


def killed(worker: DiagnosisWorker) -> None:
    assert worker.pid
    os.kill(worker.pid, signal.SIGKILL)


async def interrupted(worker: DiagnosisWorker, lab: LabUnderTest, by: Callable[[], None]) -> None:
    """A diagnosis in the middle of which this happens."""
    async with asyncio.TaskGroup() as group:
        await begun(worker, lab, group)
        by()


async def test_several_diagnoses_at_once_each_with_its_own_progress(calico_lab: LabUnderTest) -> None:
    reported: dict[str, list[str]] = {"shop": [], "mlflow": []}
    async with open_worker() as worker, asyncio.TaskGroup() as group:
        tasks = {
            namespace: group.create_task(
                worker.diagnose(
                    calico_lab.kubeconfig,
                    None,
                    Request(namespace=namespace),
                    lambda progress, namespace=namespace: reported[namespace].append(progress.sentence),
                )
            )
            for namespace in reported
        }
    for namespace, task in tasks.items():
        assert task.result().scope.namespace == namespace
        assert task.result().verdict.status == "healthy", task.result().verdict.summary
        assert reported[namespace][0] == f"reading namespace {namespace}"
        assert reported[namespace][-1] == "weighing causes"


async def test_a_namespace_that_is_not_there_comes_back_with_names(calico_lab: LabUnderTest) -> None:
    async with open_worker() as worker:
        with pytest.raises(UnknownNamespaceError) as error:
            await worker.diagnose(calico_lab.kubeconfig, None, Request(namespace="shpo"), silent)
    assert error.value.nearest == ("shop",)


async def test_trouble_around_cnibot_comes_back_in_its_own_words(tmp_path: Path) -> None:
    async with open_worker() as worker:
        with pytest.raises(BotError, match="cannot be used"):
            await worker.diagnose(tmp_path / "none", None, SHOP, silent)


async def test_playbooks_with_mistakes_are_named_and_mended_playbooks_read(
    calico_lab: LabUnderTest, tmp_path: Path
) -> None:
    (tmp_path / "bad.yaml").write_text("kind: Playbok\n")
    async with open_worker([tmp_path]) as worker:
        with pytest.raises(BotError, match=r"bad\.yaml"):
            await worker.diagnose(calico_lab.kubeconfig, None, SHOP, silent)
        (tmp_path / "bad.yaml").unlink()
        report = await worker.diagnose(calico_lab.kubeconfig, None, SHOP, silent)
    assert report.verdict.status == "healthy"


async def test_a_cancelled_diagnosis_removes_its_node_agents_and_spares_the_others(
    calico_lab: LabUnderTest, older_agents: set[str]
) -> None:
    async with open_worker() as worker, asyncio.TaskGroup() as group:
        cancelled, other = await begun(worker, calico_lab, group), await begun(worker, calico_lab, group)
        cancelled.cancel()
        await other
    assert await agents(calico_lab) <= older_agents


async def test_at_its_end_it_lets_diagnoses_clean_up(calico_lab: LabUnderTest, older_agents: set[str]) -> None:
    async with asyncio.TaskGroup() as group, open_worker() as worker:
        task = await begun(worker, calico_lab, group)
        task.cancel()
    assert await agents(calico_lab) <= older_agents


async def test_when_the_bot_is_gone_it_cleans_up_and_ends(calico_lab: LabUnderTest, older_agents: set[str]) -> None:
    async with open_worker() as worker:
        with pytest.raises(ExceptionGroup) as failures:
            await interrupted(worker, calico_lab, by=worker.close)  # all that a dead bot is to it: no more input
        assert failures.group_contains(WorkerError, match="asked to stop")
        assert await agents(calico_lab) <= older_agents


async def test_a_process_that_is_killed_is_told_and_replaced(calico_lab: LabUnderTest) -> None:
    async with open_worker() as worker:
        with pytest.raises(ExceptionGroup) as failures:
            await interrupted(worker, calico_lab, by=lambda: killed(worker))
        assert failures.group_contains(WorkerError, match="killed by signal 9")
        report = await worker.diagnose(calico_lab.kubeconfig, None, SHOP, silent)
    assert report.verdict.status == "healthy"


async def test_ctrl_c_is_for_the_bot_alone(calico_lab: LabUnderTest) -> None:
    async with open_worker() as worker, asyncio.TaskGroup() as group:
        task = await begun(worker, calico_lab, group)
        assert worker.pid
        os.kill(worker.pid, signal.SIGINT)
        await task


async def test_without_work_it_ends_and_work_begins_another(tmp_path: Path) -> None:
    async with open_worker(idle_s=0) as worker:
        for _ in range(2):
            with pytest.raises(BotError):
                await worker.diagnose(tmp_path / "none", None, SHOP, silent)
            await until(lambda: worker.pid is None)


async def test_one_that_stays_has_begun_before_it_is_asked(tmp_path: Path) -> None:
    async with open_worker(idle_s=None) as worker:
        begun = worker.pid
        assert begun
        await until(lambda: "/aiohttp/" in Path(f"/proc/{begun}/maps").read_text())  # what the first would wait for
        with pytest.raises(BotError):
            await worker.diagnose(tmp_path / "none", None, SHOP, silent)
        assert worker.pid == begun


async def test_preparing_for_playbooks_with_mistakes_leaves_them_to_the_first_diagnosis(tmp_path: Path) -> None:
    (tmp_path / "causes").mkdir()
    (tmp_path / "causes" / "mine.yaml").write_text("id: [")
    async with open_worker([tmp_path], idle_s=None) as worker:
        begun = worker.pid
        with pytest.raises(BotError, match=r"mine\.yaml"):
            await worker.diagnose(tmp_path / "none", None, SHOP, silent)
        assert worker.pid == begun


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("print('{}', flush=True); input()", "it said what cannot be read"),
        ("print('x' * 2**20, flush=True); input()", "it said what cannot be read"),
        ("raise SystemExit(7)", "it ended with code 7"),
    ],
)
async def test_whatever_it_says_the_asker_gets_an_end(script: str, why: str) -> None:
    async with open_worker(program=speaking(script)) as worker:
        with pytest.raises(WorkerError, match=why):
            await worker.diagnose(None, None, SHOP, silent)
        assert worker.pid is None


async def test_secrets_of_slack_and_redis_stay_with_the_bot(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CNIBOT_SLACK_BOT_TOKEN", "CNIBOT_REDIS_URL"):
        monkeypatch.setenv(name, "hush")
    script = "import os, sys; sys.exit(sum(value == 'hush' for value in os.environ.values()))"
    async with open_worker(program=speaking(script)) as worker:
        with pytest.raises(WorkerError, match="it ended with code 0"):
            await worker.diagnose(None, None, SHOP, silent)
