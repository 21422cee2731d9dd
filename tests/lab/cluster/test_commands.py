"""``cnibot lab`` as a person types it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.lab.cluster import launch
from bot.lab.cluster.state import StateDirectory


def lab(state: Path, command: str, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bot.lab.cluster", command, "--state", str(state), *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A small detached lab."""
    directory = tmp_path_factory.mktemp("lab") / "state"
    done = lab(directory, "up", "--detach", "--nodes", "1", "--no-workloads")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(directory / "kubeconfig")
    yield directory
    launch.stop(StateDirectory(directory))


@pytest.mark.lab
def test_status(state: Path) -> None:
    found = json.loads(lab(state, "status", "--output", "json").stdout)

    assert found["cni"] == "calico-vxlan"
    assert [node["ip"] for node in found["nodes"]] == ["172.30.0.11"]
    assert "injected: nothing" in lab(state, "status").stdout


@pytest.mark.lab
def test_exec_is_transparent(state: Path) -> None:
    done = lab(state, "exec", "node-1", "--", "sh", "-c", "cat; echo oops >&2; exit 3", given="hello")

    assert (done.returncode, done.stdout, done.stderr) == (3, "hello", "oops\n")


@pytest.mark.lab
def test_break_and_heal(state: Path) -> None:
    broken = lab(state, "break", "calico-forwarding-off", "--node", "node-1")
    value = lab(state, "exec", "node-1", "--", "cat", "/proc/sys/net/ipv4/ip_forward").stdout
    healed = lab(state, "heal")

    assert "calico-forwarding-off injected at node-1" in broken.stdout
    assert value == "0\n"
    assert healed.stdout == "healed: calico-forwarding-off\n"
    assert lab(state, "exec", "node-1", "--", "cat", "/proc/sys/net/ipv4/ip_forward").stdout == "1\n"


@pytest.mark.lab
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("break", "nonsense"), 2, "there is no fault 'nonsense'"),
        (("exec", "node-7", "true"), 2, "there is no node or running pod 'node-7'"),
        (("up", "--nodes", "1"), 1, "a lab is already running"),
        (("up", "--cni", "weave"), 2, "there is no CNI 'weave' in the lab"),
    ],
)
def test_mistakes_cost_one_sentence(state: Path, arguments: tuple[str, ...], code: int, sentence: str) -> None:
    done = lab(state, *arguments)

    assert done.returncode == code
    assert done.stderr.startswith("cnibot lab: ")
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.lab
def test_foreground_lab_ends_with_ctrl_c(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bot.lab.cluster",
        "up",
        "--state",
        str(tmp_path / "lab"),
        "--nodes",
        "1",
        "--no-workloads",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline().strip() == str(tmp_path / "lab" / "kubeconfig")

        process.send_signal(signal.SIGINT)

        assert process.wait(30) == 0
    assert not (tmp_path / "lab").exists()


def test_down_without_a_lab_is_fine(tmp_path: Path) -> None:
    done = lab(tmp_path / "none", "down")

    assert (done.returncode, done.stdout) == (0, "no lab was running\n")


def test_status_without_a_lab_says_what_to_do(tmp_path: Path) -> None:
    done = lab(tmp_path, "status")

    assert done.returncode == 1
    assert "start one with: cnibot lab up" in done.stderr


def test_faults_are_listed_without_a_lab() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bot.lab.cluster", "faults", "--output", "json", "--cni", "flannel-vxlan"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found = json.loads(done.stdout)

    assert {"cni0-down", "node-default-route-missing"} <= {one["id"] for one in found}
    assert "calico-proxy-arp-off" not in {one["id"] for one in found}
