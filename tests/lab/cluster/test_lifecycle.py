"""A lab's life: side by side, after a crash, without root, refused, and gone without a trace."""

from __future__ import annotations

import os
import select
import signal
import site
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.lab.cluster import launch
from bot.lab.cluster.control import LabClient
from bot.lab.cluster.state import StateDirectory
from bot.lab.errors import LabError, LabUsageError

ROOT = Path(__file__).parents[3]
SMALL = launch.LabOptions(nodes=1, workloads=False)


def _children(pid: int) -> set[int]:
    """All descendants, as the kernel lists them."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in (int(word) for word in task.read_text().split()):
            found |= {child} | _children(child)
    return found


def _await_end(pids: set[int]) -> None:
    """Return when every process has ended; fails after ten seconds."""
    for pid in pids:
        try:
            process = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        try:
            assert select.select([process], [], [], 10)[0], f"process {pid} lives on"
        finally:
            os.close(process)


@pytest.fixture
def small(tmp_path: Path) -> Iterator[launch.RunningLab]:
    """A lab of one node with nothing but kube-system."""
    lab = launch.start(tmp_path / "small", SMALL, attached=True)
    yield lab
    if lab.state.daemon_pid() is not None:
        lab.stop()


@pytest.mark.lab
async def test_two_labs_side_by_side(small: launch.RunningLab, tmp_path: Path) -> None:
    """Each has its own API server, pods and faults; the end of one is nothing to the other."""
    other = launch.start(
        tmp_path / "other", launch.LabOptions(nodes=1, workloads=False, cni="flannel-vxlan"), attached=True
    )
    first, second = LabClient(small.state.path), LabClient(other.state.path)
    try:
        await first.break_("calico-proxy-arp-off")

        assert (await second.status())["injected"] == []
        assert (await second.status())["cni"] == "flannel-vxlan"
        assert first.kubeconfig.read_text() != second.kubeconfig.read_text()
    finally:
        other.stop()
    assert (await first.status())["injected"] == ["calico-proxy-arp-off"]


@pytest.mark.lab
def test_killed_daemon_leaves_nothing_but_its_directory(small: launch.RunningLab) -> None:
    """The kernel ends every process with the lab's process 1, and the next start clears the directory."""
    everything = _children(small.pid)
    assert len(everything) > 5

    os.kill(small.pid, signal.SIGKILL)

    _await_end({small.pid, *everything})
    assert small.state.daemon_pid() is None
    assert small.state.kubeconfig.exists()
    again = launch.start(small.state.path, SMALL, attached=True)
    assert again.pid != small.pid
    again.stop()
    assert not small.state.path.exists()


@pytest.mark.lab
def test_lab_ends_with_the_process_that_started_it(small: launch.RunningLab) -> None:
    assert small.lifeline is not None
    everything = _children(small.pid)

    os.close(small.lifeline)

    _await_end({small.pid, *everything})
    assert launch.stop(small.state) is False


@pytest.mark.lab
async def test_second_start_in_a_directory_is_refused(small: launch.RunningLab) -> None:
    with pytest.raises(LabError, match="already running"):
        launch.start(small.state.path, SMALL, attached=True)

    assert (await LabClient(small.state.path).status())["cni"] == "calico-vxlan"


@pytest.mark.lab
async def test_requests_that_make_no_sense_are_refused_in_a_sentence(small: launch.RunningLab) -> None:
    client = LabClient(small.state.path)

    with pytest.raises(LabUsageError, match="there is no fault 'nonsense'"):
        await client.break_("nonsense")
    with pytest.raises(LabUsageError, match="needs flannel-vxlan"):
        await client.break_("cni0-down")
    with pytest.raises(LabUsageError, match="there is no node 'node-9'"):
        await client.break_("calico-proxy-arp-off", node="node-9")
    with pytest.raises(LabUsageError, match="there is no node or running pod 'nobody'"):
        await client.exec("nobody", ["true"])
    with pytest.raises(LabError, match="executable file not found"):
        await client.exec("node-1", ["no-such-program"])
    with pytest.raises(LabError, match="needs a second node"):
        await client.break_("fdb-entry-missing")


@pytest.mark.lab
async def test_exec_passes_input_output_and_exit_code(small: launch.RunningLab) -> None:
    client = LabClient(small.state.path)

    done = await client.exec("node-1", ["sh", "-c", "cat; echo oops >&2; hostname; exit 7"], stdin="given\n")

    assert (done.code, done.out, done.err) == (7, "given\nnode-1\n", "oops\n")


@pytest.mark.parametrize(
    "options",
    [
        launch.LabOptions(cni="weave"),
        launch.LabOptions(nodes=0),
        launch.LabOptions(nodes=201),
        launch.LabOptions(pods=999),
    ],
)
def test_impossible_labs_are_refused_before_anything_is_made(tmp_path: Path, options: launch.LabOptions) -> None:
    with pytest.raises(LabUsageError):
        launch.start(tmp_path / "lab", options, attached=True)

    assert not (tmp_path / "lab").exists()


def test_no_lab_to_talk_to(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no lab is running"):
        LabClient(tmp_path).exec_here("node-1", ["true"])
    assert launch.stop(StateDirectory(tmp_path / "missing")) is False


def _python_for_everybody() -> str | None:
    """An interpreter of this version that another user may execute."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    for candidate in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        tried = (
            subprocess.run([candidate, "-c", ""], user="nobody", check=False, capture_output=True)
            if _exists(candidate)
            else None
        )
        if tried is not None and tried.returncode == 0:
            return candidate
    return None


def _exists(path: str) -> bool:
    """Could *nobody* start it? Popen raises PermissionError otherwise."""
    if not Path(path).exists():
        return False
    return all(parent.stat().st_mode & 0o001 for parent in Path(path).resolve().parents)


@pytest.mark.lab
@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="every other test here is the rootless one when not run by root")
def test_rootless(tmp_path: Path) -> None:
    """A user without rights brings up the same lab in a user namespace, and the founding fault is as real."""
    python = _python_for_everybody()
    if python is None:
        pytest.skip("no Python that the user nobody may execute")
    home = Path("/tmp") / f"cnibot-rootless-{os.getpid()}"
    home.mkdir()
    os.chown(home, 65534, 65534)
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PYTHONPATH": os.pathsep.join([str(ROOT), *site.getsitepackages()]),
        "PYTHONDONTWRITEBYTECODE": "1",
    }

    def lab(*arguments: str) -> str:
        done = subprocess.run(
            [python, "-m", "bot.lab.cluster", *arguments],
            user="nobody",
            group="nogroup",
            extra_groups=[],
            env=environment,
            cwd=home,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    try:
        kubeconfig = Path(lab("up", "--detach", "--nodes", "1", "--no-workloads").strip().splitlines()[-1])
        assert kubeconfig.stat().st_uid == 65534
        lab("break", "calico-proxy-arp-off")
        assert lab("exec", "node-1", "--", "cat", "/proc/sys/net/ipv4/conf/all/proxy_arp") == "0\n"
        assert "calico-proxy-arp-off" in lab("heal")
    finally:
        lab("down")
        subprocess.run(["rm", "-rf", str(home)], check=True)
