"""The transcripts in docs/story.md, README.md and docs/quickstart.md are what the program prints."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bot.lab.cluster.faults.registry import all_faults
from tests.architecture.tree import ROOT


@pytest.mark.lab
@pytest.mark.long
@pytest.mark.parametrize("page", ["story", "quickstart"])
def test_transcript_is_what_is_printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, page: str) -> None:
    """`make transcript` writes it again."""
    monkeypatch.setenv("CNIBOT_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=":")
    command = [sys.executable, str(ROOT / ".ci" / "transcript.py"), "check", page]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as playing:
        try:
            said, _ = playing.communicate(timeout=600)
        except BaseException:
            playing.terminate()  # and not killed: it takes down the lab that it has made
            raise

    assert playing.returncode == 0, said


PAGES = ("README.md", "deploy/README.md", "docs/architecture.md", "CHANGELOG.md")
SHOWN = re.compile(r"(?<!namespace )(?<!install )(?<!test )(?<![/\w.-])cnibot ([a-z][a-z-]*)(?: ([a-z][a-z-]*))?")


def commands() -> set[tuple[str, ...]]:
    """The commands that exist: ("diagnose",), ("lab",), ("lab", "up"), …"""
    reference = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    found = {tuple(name.split()) for name in re.findall(r"(?m)^## cnibot (.+)$", reference)}
    return found | {name[:1] for name in found} | {name[:2] for name in found}


@pytest.mark.parametrize("page", PAGES)
def test_commands_that_pages_show_exist(page: str) -> None:
    known = commands()
    groups = {name[0] for name in known if len(name) > 1}
    code = re.findall(r"(?s)```.*?```|`[^`\n]+`", (ROOT / page).read_text(encoding="utf-8"))
    shown = {
        (first, second) if first in groups and second else (first,)
        for first, second in SHOWN.findall("\n".join(code).replace(".venv/bin/cnibot", "cnibot"))
    }

    assert shown - known - {("serve",)} == set()


def test_faults_that_readme_shows_exist() -> None:
    shown = set(re.findall(r"lab break ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8")))

    assert shown
    assert shown <= all_faults().keys()
