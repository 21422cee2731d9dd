"""`cnibot plan` and `cnibot audit`: what they print, and their exit codes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, cast

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.domain.plan_journal import AuditEntry
from bot.store import Store, open_store
from tests.redis import RedisServer
from tests.remediation.build import NOW, record


def said(event: str) -> AuditEntry:
    return AuditEntry(number=0, at=NOW, event=event, plan=record().plan.id, previous="")


@pytest.fixture
def run(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Runs a command against a store with one plan that waits."""
    monkeypatch.setenv("CNIBOT_REDIS_URL", redis_server.url)
    monkeypatch.setenv("CNIBOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))

    async def fill(store: Store) -> None:
        async with store.connection.client() as client:
            await client.flushall()  # pyright: ignore[reportUnknownMemberType] untyped arguments
        await store.plans.add(record(), said("proposed"))

    at_store(redis_server, tmp_path, fill)

    def invoke(*arguments: str) -> Any:
        return CliRunner().invoke(app, list(arguments))

    return invoke


def at_store(server: RedisServer, directory: Path, work: Callable[[Store], Awaitable[None]]) -> None:
    async def worked() -> None:
        async with open_store(server.url, directory) as store:
            await work(store)

    asyncio.run(worked())


def test_plans_are_listed_and_shown(run: Callable[..., Any]) -> None:
    plan = record().plan
    listed, shown = run("plan", "list"), run("plan", "show", plan.id)

    assert listed.exit_code == shown.exit_code == 0
    assert plan.id in listed.stdout
    assert "waiting" in listed.stdout
    assert plan.digest in shown.stdout


def test_the_json_form_is_the_plan_and_the_ansible_form_a_playbook(run: Callable[..., Any]) -> None:
    plan = record().plan
    found = json.loads(run("plan", "show", plan.id, "--output", "json").stdout)
    playbook = run("plan", "show", plan.id, "--output", "ansible").stdout

    assert found["digest"] == plan.digest
    assert found["record"]["plan"]["id"] == plan.id
    assert playbook.startswith("- name: change web-1")


def test_a_plan_that_is_not_known_is_said_in_a_sentence(run: Callable[..., Any]) -> None:
    done = run("plan", "show", "p-none")

    assert done.exit_code == 3
    assert "There is no plan 'p-none'" in done.stderr


def test_a_whole_audit_is_said_to_be_whole(run: Callable[..., Any]) -> None:
    done = run("audit", "verify")
    end = done.stdout.split()[-1]

    assert done.exit_code == 0
    assert run("audit", "verify", "--head", end).exit_code == 0
    assert run("audit", "verify", "--head", "1:0000").exit_code == 1
    assert json.loads(run("audit", "export").stdout)["event"] == "proposed"


def test_an_altered_audit_fails(run: Callable[..., Any], redis_server: RedisServer, tmp_path: Path) -> None:
    async def alter(store: Store) -> None:
        async with store.connection.client() as client:
            line = cast("bytes", await client.lindex(store.audit.key, 0)).decode()
            await client.lset(store.audit.key, 0, line.replace("proposed", "repaired"))

    at_store(redis_server, tmp_path, alter)
    done = run("audit", "verify")

    assert done.exit_code == 1
    assert "Entry 1 was altered." in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("recreate-pod", "shop"),
        ("target-port", "shop/web/x/", "80"),
        ("selector", "shop/web", "app"),
        ("scale", "shop/web", "0"),
    ],
)
def test_mistakes_are_found_before_anything_is_read(run: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    assert run("plan", "propose", *arguments).exit_code == 2


def test_the_cni_is_not_removed_and_it_says_where_it_stands_how_people_do(run: Callable[..., Any]) -> None:
    answer = run("plan", "propose", "remove-cni")

    assert answer.exit_code == 1
    assert "No plan takes a CNI away" in answer.stderr
    assert "docs/migrate-to-cilium.md" in " ".join(answer.stderr.split())
