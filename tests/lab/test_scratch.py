"""What a killed process leaves behind is gone: its children at once, its files when the next one begins."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bot.lab.scratch import scratch

HOLDER = """
import time
from bot.lab.scratch import scratch
from tests.redis import RedisServer
with scratch("test") as directory, RedisServer() as server:
    print(directory, server.directory, server.pid, flush=True)
    time.sleep(600)
"""


@pytest.fixture
def own_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Temporary files of this test alone; Redis's sockets must be short."""
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return tmp_path


WAITING = """
import time
import pytest
from bot.lab.scratch import scratch
@pytest.fixture(scope="session")
def directory():
    with scratch("test") as made:
        yield made
def test_that_waits(directory):
    print("waits", flush=True)
    time.sleep(600)
"""


def held_by_another() -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)


def test_it_is_gone_afterwards(own_tmp: Path) -> None:
    with scratch("test") as directory:
        (directory / "file").touch()
        assert list(own_tmp.iterdir()) == [directory]
    assert list(own_tmp.iterdir()) == []


def test_what_a_killed_process_held_is_removed_and_what_a_living_one_holds_is_not(own_tmp: Path) -> None:
    with held_by_another() as holder:
        assert holder.stdout is not None
        theirs, redis, pid = holder.stdout.readline().split()
        with scratch("test"):
            assert Path(theirs).is_dir()
        # A descriptor that is told when the server ends: with its parent, and by nobody else.
        server = os.pidfd_open(int(pid))
        holder.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, holder.pid, os.WEXITED | os.WNOWAIT)
        has_ended, _, _ = select.select([server], [], [], 30)
        os.close(server)
        assert has_ended

    assert Path(theirs).is_dir()
    with scratch("test") as mine, scratch("redis"):
        assert not Path(theirs).exists()
        assert not Path(redis).exists()
        assert mine.is_dir()
    assert list(own_tmp.iterdir()) == []


def test_tests_that_are_ended_by_sigterm_clean_up(own_tmp: Path) -> None:
    (own_tmp / "test_waiting.py").write_text(WAITING, encoding="utf-8")
    options = ("-s", "-q", "-p", "tests.conftest", "-p", "no:cacheprovider", "--rootdir", str(own_tmp))
    command = [sys.executable, "-m", "pytest", *options, str(own_tmp / "test_waiting.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tests:
        assert tests.stdout is not None
        assert any("waits" in line for line in tests.stdout)
        tests.send_signal(signal.SIGTERM)
        rest = tests.stdout.read()

    assert "KeyboardInterrupt" in rest
    assert list(own_tmp.glob("cnibot-*")) == []
