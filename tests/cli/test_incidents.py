"""`cnibot incidents`: the list, and one as a document."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bot.cli import app
from bot.domain.incident import Incident
from bot.store import open_store
from tests.redis import RedisServer
from tests.store.test_incidents import asked


@pytest.fixture
def incident(redis_server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Incident:
    """The only one in the store."""
    monkeypatch.setenv("CNIBOT_REDIS_URL", redis_server.url)
    monkeypatch.setenv("CNIBOT_STATE_DIR", str(tmp_path))

    async def fill() -> Incident:
        async with open_store(redis_server.url, tmp_path) as store:
            async with store.connection.client() as client:
                await client.flushall()  # pyright: ignore[reportUnknownMemberType] untyped arguments
            made, _ = await store.incidents.open(**asked())
            await store.incidents.assign(made.id, "U0BOB")
            return made

    return asyncio.run(fill())


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["incidents", *arguments])


def test_the_open_ones_are_listed(incident: Incident) -> None:
    found = run("list")
    assert found.exit_code == 0
    assert incident.id in found.stdout
    assert "shop on prod" in found.stdout


def test_one_as_a_post_mortem_and_as_json(incident: Incident, tmp_path: Path) -> None:
    file = tmp_path / "incident.json"
    text, written = run("export", incident.id), run("export", incident.id, "-o", "json", "--file", str(file))

    assert text.exit_code == written.exit_code == 0
    assert text.stdout.startswith("# Post-mortem (draft): no fault found in shop on prod")
    assert "- Taken care of by: U0BOB" in text.stdout
    assert json.loads(file.read_text())["phase"] == "open"


def test_one_that_is_not_kept_is_named(incident: Incident) -> None:
    found = run("export", "inc-00000000")
    assert found.exit_code == 3
    assert "There is no incident inc-00000000" in found.output
