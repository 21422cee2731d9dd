"""The whole bot against the lab's Slack workspace: it becomes ready, works, says what is wrong, and ends in order."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from bot.aio.failures import first_failure
from bot.aio.stopping import Stop
from bot.app import NotReadyError, PartFailedError, Running, lifecycle, serve
from bot.app.failures import part
from bot.diagnosis.request import OnProgress, Request
from bot.domain.alert import AlertScope
from bot.domain.errors import BotError, ConfigurationError, ServerError
from bot.domain.report import Report
from bot.domain.software import Software
from bot.incidents.alerting.locating import Located
from bot.incidents.clusters import Clusters
from bot.incidents.worker import Inspected
from bot.lab.slack.options import SlackOptions
from bot.lab.slack.workspace import SlackWorkspace
from bot.settings import GrantSettings, Settings, load_settings
from tests.slack.waiting import until

ALL = "diagnose", "read", "watch", "share", "feedback"


@dataclass
class StubbornCluster:
    """A cluster that answers nothing until it may; then that it is broken itself."""

    name: str = "lab"
    may_answer: bool = False
    looked: int = 0
    is_cut_off: bool = False

    async def diagnose(self, request: Request, on_progress: OnProgress) -> Report:
        self.looked += 1
        await until(lambda: self.may_answer, 30)
        raise ServerError("The API server is on fire.", status=500)

    async def inspect(self, request: Request) -> Inspected:
        raise ServerError("The API server is on fire.", status=500)

    async def namespaces(self) -> tuple[str, ...]:
        return ("shop",)

    async def check_pod(self, namespace: str, name: str) -> None:
        """Each name is somebody's."""

    async def reach(self) -> None:
        if self.is_cut_off:
            raise ServerError("The API server is on fire.", status=500)

    async def nodes(self) -> tuple[str, ...]:
        return ()

    async def locate(self, scope: AlertScope) -> Located | None:
        return Located(namespace="shop", subject=str(scope))

    async def software(self) -> Software:
        return Software(cni="unknown")


def settings_for(slack: SlackWorkspace, state_dir: Path, **more: object) -> Settings:
    """What an operator would set."""
    return Settings.model_validate(
        {
            "state_dir": state_dir,
            "slack_api_url": slack.api_url,
            "slack_bot_token": slack.bot_token,
            "slack_app_token": slack.app_token,
            "slack_signing_secret": slack.signing_secret,
            "http_port": 0,
            "health_port": 0,
            "drain_s": 5,
            "grants": [GrantSettings.model_validate({"actions": ALL, "users": ["*"]})],
            **more,
        }
    )


@dataclass
class Served:
    """A bot that runs."""

    ready: asyncio.Future[Running]
    stop: Stop
    task: asyncio.Task[None]

    async def get(self, path: str) -> tuple[int, str]:
        """What its HTTP server says."""
        async with aiohttp.ClientSession((await self.ready).health_address) as session, session.get(path) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def serving(settings: Settings, cluster: StubbornCluster | None = None) -> AsyncGenerator[Served]:
    """A running bot, ready; asked to end when the block ends. Its failure is raised as it is."""
    stop, ready = Stop(), asyncio.get_running_loop().create_future()
    clusters = Clusters([cluster or StubbornCluster()])
    work = serve(settings, on_ready=ready.set_result, clusters=clusters, stop=stop)
    try:
        async with asyncio.TaskGroup() as group:
            served = Served(ready, stop, group.create_task(work))
            async with asyncio.timeout(20):
                await asyncio.wait((served.task, ready), return_when=asyncio.FIRST_COMPLETED)
            if ready.done():
                yield served
            stop.asked.set()
    except BaseExceptionGroup as failures:
        raise first_failure(failures, rather=BotError) from failures


async def test_it_becomes_ready_and_answers(tmp_path: Path) -> None:
    async with SlackWorkspace.start() as slack, serving(settings_for(slack, tmp_path)) as bot:
        outcome = await slack.user("alice").slash("incidents", "/cni", "help")
        await slack.until(lambda: slack.user("alice").ephemerals("incidents"))
        readiness, health, metrics = [await bot.get(path) for path in ("/readyz", "/healthz", "/metrics")]

    line = bot.ready.result().says
    assert outcome.acked
    assert line.startswith("cnibot is ready: @cni in Lab, ")
    assert line.endswith(f"clusters: lab; health and metrics: {bot.ready.result().health_address}")
    assert readiness == (200, '{"ready":true,"not_ready":{}}')
    assert health[0] == 200
    assert "cnibot_inbox_entries" in metrics[1]
    assert "cnibot_slack_connections 2.0" in metrics[1]


async def test_over_http_the_same_people_get_the_same_answers(tmp_path: Path) -> None:
    async with (
        SlackWorkspace.start(SlackOptions(mode="http")) as slack,
        serving(settings_for(slack, tmp_path, slack_mode="http", slack_app_token=None)) as bot,
    ):
        slack.set_request_url(f"{bot.ready.result().address}/slack/events")
        assert await slack.verify_request_url()
        outcome = await slack.user("alice").slash("incidents", "/cni", "help")
        await slack.until(lambda: slack.user("alice").ephemerals("incidents"))

    assert outcome.acked
    assert slack.sockets.opened == 0


async def test_alerts_come_in_where_a_token_is_set(tmp_path: Path) -> None:
    """And open an incident in the channel of the settings, though this cluster is on fire."""
    alert = {"status": "firing", "labels": {"alertname": "KubePodNotReady", "namespace": "shop", "pod": "web"}}
    more = {"alertmanager_token": "t0ken", "alert_channel": "C0INCIDENTS"}
    cluster = StubbornCluster(may_answer=True)
    async with SlackWorkspace.start() as slack, serving(settings_for(slack, tmp_path, **more), cluster) as bot:
        async with aiohttp.ClientSession((await bot.ready).address) as session:
            for headers, status in (({}, 401), ({"Authorization": "Bearer t0ken"}, 200)):
                async with session.post("/alertmanager", json={"alerts": [alert]}, headers=headers) as answer:
                    assert answer.status == status
        await slack.until(lambda: [each for each in slack.everything("incidents") if "No diagnosis" in each.text])

    assert cluster.looked == 1


def test_alerts_without_a_channel_are_a_mistake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CNIBOT_ALERTMANAGER_TOKEN", "t0ken")

    with pytest.raises(ConfigurationError, match="without alert_channel"):
        load_settings()


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"slack_bot_token": "xoxb-wrong"}, r"Slack: bot token: Slack says invalid_auth\. Install the app"),
        ({"slack_app_token": "xapp-wrong"}, r"Slack: Socket Mode: Slack says invalid_auth\. Set CNIBOT_SLACK_APP"),
        ({"slack_bot_token": None}, r"There is no bot token\. Set CNIBOT_SLACK_BOT_TOKEN"),
    ],
    ids=["bot token", "app token", "none"],
)
async def test_what_no_waiting_cures_ends_it_at_once(tmp_path: Path, wrong: dict[str, str], sentence: str) -> None:
    async with SlackWorkspace.start() as slack:
        with pytest.raises(NotReadyError, match=sentence):
            async with serving(settings_for(slack, tmp_path, **wrong)):
                pytest.fail("it became ready")


async def test_while_slack_is_away_it_waits_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "_RETRY_S", 0.05)
    async with SlackWorkspace.start() as slack:
        slack.faults.down()
        missing: list[str] = []

        async def look() -> None:
            async with aiohttp.ClientSession() as session:
                while not missing:
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        reported = (await answer.json())["not_ready"]
                    missing.extend(why for name, why in reported.items() if name == "slack")
                    await asyncio.sleep(0.02)
            slack.faults.down(is_down=False)

        port = _free_port()
        async with asyncio.TaskGroup() as group:
            group.create_task(_until_connected(look))
            async with serving(settings_for(slack, tmp_path, health_port=port)):
                pass

    assert missing[0].startswith("Slack cannot be reached")


async def _until_connected(look: Callable[[], Awaitable[None]]) -> None:
    while True:
        try:
            return await look()
        except aiohttp.ClientConnectionError:
            await asyncio.sleep(0.02)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_what_was_begun_is_finished_before_the_end(tmp_path: Path) -> None:
    cluster = StubbornCluster()
    async with SlackWorkspace.start() as slack:
        async with serving(settings_for(slack, tmp_path), cluster) as bot:
            await slack.user("alice").slash("incidents", "/cni", "diagnose shop")
            await until(lambda: cluster.looked)
            bot.stop.asked.set()
            await until(lambda: not slack.sockets.connections)
            cluster.may_answer = True

        said = " ".join(message.text for message in slack.everything("incidents"))

    assert "on fire" in said


async def test_what_takes_too_long_is_finished_by_the_next_one(tmp_path: Path) -> None:
    cluster = StubbornCluster()
    async with SlackWorkspace.start() as slack:
        async with serving(settings_for(slack, tmp_path, drain_s=0.2), cluster) as bot:
            await slack.user("alice").slash("incidents", "/cni", "diagnose shop")
            await until(lambda: cluster.looked)
            bot.stop.asked.set()
        before = len(slack.everything("incidents"))
        cluster.may_answer = True
        async with serving(settings_for(slack, tmp_path), cluster):
            await slack.until(lambda: any("on fire" in one.text for one in slack.everything("incidents")))

    assert before == 1
    assert len(slack.messages("incidents")) == 1, "the thread was opened twice"


async def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    cluster = StubbornCluster()
    async with (
        SlackWorkspace.start() as slack,
        serving(settings_for(slack, tmp_path, drain_s=600), cluster) as bot,
    ):
        await slack.user("alice").slash("incidents", "/cni", "diagnose shop")
        await until(lambda: cluster.looked)
        bot.stop.asked.set()
        bot.stop.hurried.set()
        async with asyncio.timeout(10):
            await bot.task


async def test_a_part_that_dies_takes_the_bot_with_it() -> None:
    async def dies() -> None:
        raise KeyError("pods")

    async def returns() -> None:
        pass

    async def says() -> None:
        raise ConfigurationError("The thing", "it is wrong")

    for work, sentence in (
        (dies, "The part 'outbox' of the bot ended: KeyError: 'pods'."),
        (returns, "The part 'outbox' of the bot ended: it stopped unexpectedly."),
    ):
        with pytest.raises(PartFailedError) as caught:
            await part("outbox", work(), Stop())
        assert str(caught.value) == sentence
    with pytest.raises(ConfigurationError):
        await part("outbox", says(), Stop())


async def test_the_program_says_when_it_is_ready_and_ends_with_0(tmp_path: Path) -> None:
    async with SlackWorkspace.start() as slack:
        program = await _program(slack, tmp_path, slack.app_token)
        assert program.stdout
        async with asyncio.timeout(60):
            line = (await program.stdout.readline()).decode()
            program.send_signal(signal.SIGTERM)
            code = await program.wait()

    assert line.startswith("cnibot is ready: @cni in Lab, ")
    assert code == 0


async def test_the_program_ends_with_2_where_a_token_is_wrong(tmp_path: Path) -> None:
    async with SlackWorkspace.start() as slack:
        program = await _program(slack, tmp_path, "xapp-wrong")
        async with asyncio.timeout(60):
            _, said = await program.communicate()

    assert program.returncode == 2
    assert "cnibot: Slack: Socket Mode: Slack says invalid_auth." in said.decode()


async def _program(slack: SlackWorkspace, state_dir: Path, app_token: str) -> asyncio.subprocess.Process:
    ours = {
        "STATE_DIR": str(state_dir),
        "SLACK_API_URL": slack.api_url,
        "SLACK_BOT_TOKEN": slack.bot_token,
        "SLACK_APP_TOKEN": app_token,
        "HTTP_PORT": "0",
        "HEALTH_PORT": "0",
        "CLUSTERS": json.dumps({"lab": {"kubeconfig": "/nowhere"}}),
    }
    environment = {**os.environ, **{f"CNIBOT_{name}": value for name, value in ours.items()}}
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "serve", stdout=pipe, stderr=pipe, env=environment
    )
