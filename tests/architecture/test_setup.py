"""The set-up script says what is wrong and what to do, in one line each."""

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from tests.architecture.tree import copied


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A place where nothing is set up yet."""
    return copied(tmp_path, ".ci", "pyproject.toml", *(f"requirements-{kind}.lock" for kind in ("lab", "dev")))


def setup(tree: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Exit code and what was said."""
    done = subprocess.run(
        [str(tree / ".ci" / "setup"), *arguments],
        env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, done.stderr


def test_interpreter_that_does_not_run(tree: Path) -> None:
    code, said = setup(tree, "lab", PYTHON="/bin/false")

    assert (code, said) == (1, "setup: PYTHON=/bin/false is not a Python 3.11, 3.12 or 3.13 that runs\n")
    assert not (tree / ".venv").exists()


def test_interpreter_of_another_version(tree: Path) -> None:
    old = tree / "python3.9"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)

    code, said = setup(tree, "dev", PYTHON=str(old))

    assert code == 1
    assert f"PYTHON={old} is not a Python 3.11, 3.12 or 3.13" in said


@pytest.mark.parametrize("installs", ["sleep 60", ". ./patiently; patiently sleep 60"])
def test_ctrl_c_while_the_demo_is_installed_ends_it_without_an_error_of_make(installs: str, tmp_path: Path) -> None:
    """The first thing that a newcomer may do after a minute of dots."""
    place = copied(tmp_path, "Makefile", ".ci")
    text = (place / ".ci" / "setup").read_text(encoding="utf-8")
    waits = text[text.index("patiently() {") :]
    (place / "patiently").write_text(waits[: waits.index("\n}\n") + 3], encoding="utf-8")
    (place / ".ci" / "setup").write_text(f"#!/bin/sh\necho installing $1 >&2\n{installs}\n", encoding="utf-8")
    said, code = _interrupted(place, b"installing system")

    assert b"***" not in said, said
    assert b"installing lab" not in said
    assert code in {0, 130, -signal.SIGINT}


DEMO = f"""#!{sys.executable}
import signal, sys, time
signal.signal(signal.SIGINT, lambda *_: sys.exit(130))  # as the real one ends
print("a demo", flush=True)
time.sleep(20)
"""


@pytest.mark.parametrize("arguments", [[], ["ARGS=--scripted"]])
def test_ctrl_c_in_the_demo_ends_it_without_an_error_of_make(arguments: list[str], tmp_path: Path) -> None:
    place = copied(tmp_path, "Makefile", ".ci")
    (place / ".ci" / "setup").write_text("#!/bin/sh\n", encoding="utf-8")
    program = place / ".venv" / "bin" / "cnibot"
    program.parent.mkdir(parents=True)
    program.write_text(DEMO, encoding="utf-8")
    program.chmod(0o755)

    said, code = _interrupted(place, b"a demo", *arguments)

    assert b"***" not in said, said
    assert code in {0, -signal.SIGINT}


def _interrupted(place: Path, at: bytes, *arguments: str) -> tuple[bytes, int]:
    """What `make demo` prints on a terminal where Ctrl-C is pressed as it says `at`, and how it ends."""
    terminal, its_end = pty.openpty()
    with subprocess.Popen(
        ["make", "demo", *arguments],
        cwd=place, stdin=its_end, stdout=its_end, stderr=its_end, start_new_session=True,
        preexec_fn=_takes_terminal,  # noqa: PLW1509 no thread of ours is in the child
    ) as demo:  # fmt: skip
        os.close(its_end)
        said = _read_until(terminal, at)
        while demo.poll() is None:  # dash does not hear one that comes just as it starts a program
            os.write(terminal, b"\x03")
            said += _read_until(terminal, None)
    os.close(terminal)
    return said, demo.returncode


def _takes_terminal() -> None:
    """So that Ctrl-C there reaches the session, also where the tests were started in the background."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _read_until(terminal: int, word: bytes | None) -> bytes:
    """What a terminal shows up to a word, or to its end, or to a moment of silence."""
    said = b""
    while word is None or word not in said:
        if word is None and not select.select([terminal], [], [], 0.5)[0]:
            break
        try:
            part = os.read(terminal, 4096)
        except OSError:  # so a Linux terminal ends
            break
        if not part:
            break
        said += part
    return said


def test_unknown_kind(tree: Path) -> None:
    code, said = setup(tree, "everything")

    assert (code, said) == (1, "setup: usage: .ci/setup lab|dev|system|browser|monitoring\n")
