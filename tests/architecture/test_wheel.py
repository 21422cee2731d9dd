"""The wheel that is built here runs in a virtualenv of its own: code, data and commands are all inside."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, copied


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built wheel, from a copy: building leaves nothing in the tree."""
    names = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "bot", "playbooks")
    tree = copied(tmp_path_factory.mktemp("source"), *(name for name in names if (ROOT / name).exists()))
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(out)]
    subprocess.run(command, cwd=tree, check=True, capture_output=True, timeout=120)
    (built,) = out.glob("*.whl")
    return built


@pytest.mark.slow
def test_wheel_holds_the_playbooks_but_neither_tests_nor_lab(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    shipped = {f"bot/_data/{path.relative_to(ROOT)}" for path in (ROOT / "playbooks").rglob("*.yaml")}

    assert shipped <= names
    assert shipped, "no playbooks at all"
    assert not {name for name in names if name.startswith(("tests/", "playbooks/", "bot/lab/", "bot/gym/"))}


@pytest.mark.slow
def test_wheel_runs_in_a_fresh_virtualenv(wheel: Path, tmp_path: Path) -> None:
    """Its libraries come from the test environment by a .pth file; its own code and data only from the wheel."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "venv")], check=True, timeout=60)
    python = tmp_path / "venv" / "bin" / "python"
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    installed = site.parent / "installed"
    pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(installed), str(wheel)]
    subprocess.run(pip, check=True, capture_output=True, timeout=120)
    libraries = Path(pytest.__file__).resolve().parents[1]
    # A plain path line: .pth files inside `libraries` (the editable install of this tree) are not followed.
    (site / "wheel.pth").write_text(f"{installed}\n{libraries}\n")

    code = "import bot; from bot.__main__ import main; print(bot.__file__); main()"

    def cnibot(*arguments: str, ends: int = 0) -> str:
        done = subprocess.run(
            [str(python), "-c", code, *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == ends, done.stdout + done.stderr
        assert done.stdout.startswith(str(installed))
        return done.stdout + done.stderr

    assert "diagnose" in cnibot("--help")
    assert "pod-arp-table" in cnibot("playbooks", "list")
    assert "kubeconfig" in cnibot("doctor", ends=1)
    assert "CNIBOT_SLACK_BOT_TOKEN" in cnibot("serve", ends=2)
    recording = ROOT / "tests" / "recordings" / "flannel-healthy-shop.json.gz"
    assert "HEALTHY" in cnibot("replay", str(recording))
    assert "make demo" in cnibot("lab", "up", ends=2)
    assert "make demo" in cnibot("demo", ends=2)
