"""`cnibot doctor`: everything that can be wrong is found and said, with what to do about it."""

import asyncio
import datetime as dt
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.app import doctor
from bot.app.doctor import installation_checks
from bot.domain.checks import Check
from bot.domain.errors import ConfigurationError
from bot.domain.outgoing import Content, Place, Post
from bot.lab.slack.options import BOT_SCOPES, SlackOptions
from bot.lab.slack.workspace import SlackWorkspace
from bot.settings import AlertmanagerSettings, Settings, load_settings
from bot.store import open_store
from bot.store.outbox_entries import Dead
from tests.cluster.small_cluster import small_cluster
from tests.incidents.alerting.listing import listed, peer


def settings(state_dir: Path, **more: Any) -> Settings:
    given = {"state_dir": state_dir, "clusters": {"lab": {"kubeconfig": "/nowhere/config"}}, **more}
    return Settings.model_validate(given)


async def found(wanted: Settings) -> dict[str, Check]:
    return {check.name: check for check in await installation_checks(wanted)}


async def test_all_is_well(tmp_path: Path) -> None:
    grant = {"actions": ["read"], "users": ["*"]}
    async with small_cluster(tmp_path / "cluster") as cluster, SlackWorkspace.start() as slack:
        cluster.namespace("cnibot")
        cluster.node("node-1")
        checks = await found(
            settings(
                tmp_path / "state",
                clusters={"lab": {"kubeconfig": cluster.kubeconfig()}},
                grants=[grant],
                slack_api_url=slack.api_url,
                slack_bot_token=slack.bot_token,
                slack_app_token=slack.app_token,
            )
        )

    assert [name for name, check in checks.items() if check.state != "ok"] == ["Agent image"], "not pinned"
    assert [name for name in checks if name != "Agent image"] == [
        "Playbooks", "Store", "Slack: bot token", "Slack: scopes", "Slack: Socket Mode", "Slack: channels", "Grants",
        "Cluster lab: rights", "Cluster lab: access", "Cluster lab: exec",
    ]  # fmt: skip
    assert checks["Cluster lab: exec"].says.startswith("the agent on node-1 reported, kernel ")
    assert cluster.storage.list("pods", "cnibot") == []
    assert checks["Cluster lab: access"].says == "node agents: everything can be seen"


async def test_alerts_that_nobody_would_hear_of_are_found(tmp_path: Path) -> None:
    routes = tmp_path / "routes.yaml"
    routes.write_text("routes:\n  - matchers: [team=edge]\n    channel: C0NOBODY\n", encoding="utf-8")
    async with SlackWorkspace.start() as slack:
        given = {
            "slack_api_url": slack.api_url,
            "slack_bot_token": slack.bot_token,
            "alertmanager_token": "t0ken",
            "alert_channel": "C0INCIDENTS",
        }
        fine = (await found(settings(tmp_path / "state", **given, alert_channels=["C0ALERTS"])))["Alerts"]
        mute = (await found(settings(tmp_path / "state", **given, alert_routes=routes)))["Alerts"]
        routes.write_text("routes:\n  - matchers: [team]\n    ignore: x\n", encoding="utf-8")
        wrong = (await found(settings(tmp_path / "state", **given, alert_routes=routes)))["Alerts"]

    assert (fine.state, fine.says) == ("ok", "0 routes, posted in C0ALERTS, C0INCIDENTS")
    assert mute.state == "warning"
    assert "cannot be posted in C0NOBODY" in mute.problem
    assert wrong.state == "failed"
    assert f"{routes}:2" in wrong.problem


async def test_a_cluster_without_rights_says_which(tmp_path: Path) -> None:
    async with small_cluster(tmp_path / "cluster") as cluster:
        kubeconfig = cluster.kubeconfig("eve", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}])
        checks = await found(settings(tmp_path / "state", clusters={"lab": {"kubeconfig": kubeconfig}}))

    rights, access = checks["Cluster lab: rights"], checks["Cluster lab: access"]
    assert rights.state == "warning"
    assert "Not allowed to list namespaces" in rights.problem
    assert "kubectl apply --kustomize deploy/manifests" in rights.remedy
    assert access.state == "warning"
    assert access.problem.startswith("Rung agent is not possible: not allowed to create")


@pytest.mark.parametrize(
    ("absent", "nodes", "state", "problem"),
    [
        (True, ["node-1"], "failed", "its image has no program cnibot-agent"),
        (False, [], "warning", "It was not tried: no node's kubelet reports."),
    ],
    ids=["another image", "no node"],
)
async def test_a_right_to_exec_is_tried(
    tmp_path: Path, *, absent: bool, nodes: list[str], state: str, problem: str
) -> None:
    async with small_cluster(tmp_path / "cluster") as cluster:
        cluster.namespace("cnibot")
        cluster.node(*nodes)
        if absent:
            cluster.kubelet.absent.add("cnibot-agent")
        checks = await found(settings(tmp_path / "state", clusters={"lab": {"kubeconfig": cluster.kubeconfig()}}))

    assert checks["Cluster lab: exec"].state == state
    assert problem in checks["Cluster lab: exec"].problem


async def test_without_the_right_to_list_pods_nothing_works(tmp_path: Path) -> None:
    async with small_cluster(tmp_path / "cluster") as cluster:
        kubeconfig = cluster.kubeconfig("eve", [])
        checks = await found(settings(tmp_path / "state", clusters={"lab": {"kubeconfig": kubeconfig}}))

    assert checks["Cluster lab: rights"].state == "failed"
    assert "list pods" in checks["Cluster lab: rights"].problem


@pytest.mark.parametrize(
    ("more", "name", "problem"),
    [
        ({}, "Cluster lab", "The kubeconfig /nowhere/config cannot be used: there is no such file."),
        ({}, "Slack", "It is not configured: cnibot diagnose works, cnibot serve does not."),
        ({}, "Grants", "Nobody in Slack may do anything."),
        ({"slack_mode": "http", "slack_bot_token": "xoxp-1"}, "Slack: signing secret", "No signing secret is set"),
        ({"redis_url": "redis://127.0.0.1:1/0"}, "Store", "The store at redis://127.0.0.1:1/0 is not available"),
        ({"redis_url": "memcached://127.0.0.1"}, "Store", "CNIBOT_REDIS_URL"),
        ({"slack_bot_token_file": "/nowhere/token"}, "Slack", "CNIBOT_SLACK_BOT_TOKEN_FILE"),
        ({"playbooks_dirs": ["/nowhere"]}, "Playbooks", "/nowhere"),
    ],
    ids=["cluster", "slack", "grants", "secret", "redis", "url", "file", "playbooks"],
)
async def test_what_is_wrong_is_said(tmp_path: Path, more: dict[str, Any], name: str, problem: str) -> None:
    check = (await found(settings(tmp_path, **more)))[name]

    assert check.state != "ok"
    assert problem in check.problem
    assert check.remedy


async def test_missing_scopes_are_named(tmp_path: Path) -> None:
    async with SlackWorkspace.start(SlackOptions(scopes=BOT_SCOPES - {"files:write"})) as slack:
        tokens = {"slack_bot_token": slack.bot_token, "slack_app_token": slack.app_token}
        checks = await found(settings(tmp_path, slack_api_url=slack.api_url, **tokens))

    assert checks["Slack: scopes"].problem == "The token lacks files:write."


async def test_beside_a_running_bot_it_disturbs_nothing(tmp_path: Path) -> None:
    async with open_store(None, tmp_path) as store:
        check = (await found(settings(tmp_path)))["Store"]
        await store.ping()

    assert check.state == "ok"
    assert f"in use by process {os.getpid()}: the bot runs" in check.says


@pytest.mark.parametrize(
    ("reasons", "problem"),
    [
        (
            ["not_in_channel"],
            "1 message to Slack was given up, the newest, to C1, at 2026-11-23 06:00 UTC: not_in_channel.",
        ),
        (
            ["x", "is_archived"],
            "2 messages to Slack were given up, the newest, to C2, at 2026-11-23 06:00 UTC: is_archived.",
        ),
    ],
)
async def test_messages_that_were_given_up_are_told(tmp_path: Path, reasons: list[str], problem: str) -> None:
    at = dt.datetime(2026, 11, 23, 6, tzinfo=dt.UTC).timestamp()
    async with open_store(None, tmp_path) as store:
        for number, reason in enumerate(reasons, 1):
            channel = f"C{number}"
            await store.outbox.put(Post(key=channel, place=Place(channel=channel), content=Content(text="x")), now=at)
            dead = Dead(key=channel, kind="post", channel=channel, reason=reason, text="x", at=at)
            await store.outbox.give_up(dead, next_post_at=at)

    check = (await found(settings(tmp_path)))["Store"]

    assert (check.state, check.problem) == ("warning", problem)
    assert "run the diagnosis again" in check.remedy
    assert "CNIBOT_REDIS_URL" not in check.remedy


@pytest.mark.parametrize(
    ("variables", "code"),
    [({}, 1), ({"CNIBOT_HTTP_PORT": "many"}, 2), ({"CNIBOT_CLUSTERS": "{"}, 2)],
    ids=["cluster missing", "no number", "no JSON"],
)
async def test_the_program_answers_in_json(tmp_path: Path, variables: dict[str, str], code: int) -> None:
    ours = {"CNIBOT_STATE_DIR": str(tmp_path), "CNIBOT_CLUSTERS": '{"lab":{"kubeconfig":"/nowhere"}}', **variables}
    program = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bot", "doctor", "--output", "json",
        env={**os.environ, **ours}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    async with asyncio.timeout(60):
        out, err = await program.communicate()

    assert program.returncode == code, err.decode()
    if code == 1:
        answer = json.loads(out)
        assert answer["ok"] is False
        assert {"name", "state", "says", "problem", "remedy", "may_pass"} == set(answer["checks"][0])
    else:
        assert "cnibot: " in err.decode()


PINNED = "ghcr.io/cnibot/cnibot@sha256:" + "0" * 64


async def test_an_image_that_can_be_moved_is_warned_of(tmp_path: Path) -> None:
    """Node agents run as root on every node."""
    (check,) = await doctor.image(Settings(state_dir=tmp_path, agent_image="registry.example/cnibot:1"))
    (pinned,) = await doctor.image(Settings(state_dir=tmp_path, agent_image=PINNED))

    assert (check.state, pinned.state) == ("warning", "ok")
    assert check.problem.startswith("registry.example/cnibot:1 is named by a tag")


@pytest.mark.parametrize("image", ["", "registry.example/cnibot:1", "registry.example/cnibot@sha256:1"])
def test_who_wants_only_pinned_images_gets_no_other(
    image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNIBOT_ONLY_PINNED_IMAGES", "true")
    monkeypatch.setenv("CNIBOT_AGENT_IMAGE", image)
    with pytest.raises(ConfigurationError, match="agent_image names no digest"):
        load_settings()
    monkeypatch.setenv("CNIBOT_AGENT_IMAGE", PINNED)

    assert load_settings().is_agent_image_pinned


async def test_alertmanagers_are_asked(tmp_path: Path) -> None:
    async with peer(listed("A"), listed("B")) as one, peer() as other:
        other.status = 401
        given = [{"urls": [one.url]}, {"urls": [one.url, other.url], "cluster": "lab"}, {"urls": [other.url]}]
        made = settings(tmp_path / "state", alertmanagers=given[:1], alert_channel="C0ALERTS")
        checks = [
            check
            for which in given
            for check in await doctor.alertmanagers(
                made.model_copy(update={"alertmanagers": (AlertmanagerSettings.model_validate(which),)})
            )
        ]

    assert [check.state for check in checks] == ["ok", "warning", "failed"]
    assert checks[0].says == "2 alerts for the receiver cnibot"
    assert "HTTP 401" in checks[2].problem
