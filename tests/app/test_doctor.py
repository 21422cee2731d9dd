"""`cnibot doctor`: everything that can be wrong is found and said, with what to do about it."""

import asyncio
import datetime as dt
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.app.examining import examine
from bot.domain.checks import Check
from bot.domain.outgoing import Content, Place, Post
from bot.lab.slack.options import BOT_SCOPES, SlackOptions
from bot.lab.slack.workspace import SlackWorkspace
from bot.settings import Settings
from bot.store import open_store
from bot.store.outbox_entries import Dead
from tests.cluster.small_cluster import small_cluster


def settings(state_dir: Path, **more: Any) -> Settings:
    given = {"state_dir": state_dir, "clusters": {"lab": {"kubeconfig": "/nowhere/config"}}, **more}
    return Settings.model_validate(given)


async def found(wanted: Settings) -> dict[str, Check]:
    return {check.name: check for check in await examine(wanted)}


async def test_all_is_well(tmp_path: Path) -> None:
    grant = {"actions": ["read"], "users": ["*"]}
    async with small_cluster(tmp_path / "cluster") as cluster, SlackWorkspace.start() as slack:
        cluster.namespace("cnibot")
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

    assert {name: check.problem for name, check in checks.items() if check.state != "ok"} == {}
    assert list(checks) == [
        "Playbooks", "Store", "Slack: bot token", "Slack: scopes", "Slack: Socket Mode", "Slack: channels", "Grants",
        "Cluster lab: rights", "Cluster lab: access",
    ]  # fmt: skip
    assert checks["Cluster lab: access"].says == "node agents: everything can be seen"


async def test_a_cluster_without_rights_says_which(tmp_path: Path) -> None:
    async with small_cluster(tmp_path / "cluster") as cluster:
        kubeconfig = cluster.kubeconfig("eve", [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}])
        checks = await found(settings(tmp_path / "state", clusters={"lab": {"kubeconfig": kubeconfig}}))

    rights, access = checks["Cluster lab: rights"], checks["Cluster lab: access"]
    assert rights.state == "warning"
    assert "Not allowed to list namespaces" in rights.problem
    assert "kubectl apply --kustomize deploy" in rights.remedy
    assert access.state == "warning"
    assert access.problem.startswith("Rung agent is not possible: not allowed to create")


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
        ({}, "Slack", "It is not configured: cnibot serve cannot run, cnibot diagnose can."),
        ({}, "Grants", "Nobody in Slack may do anything."),
        ({"slack_mode": "http", "slack_bot_token": "xoxp-1"}, "Slack: signing secret", "There is none"),
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
    assert "ask again" in check.remedy
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
