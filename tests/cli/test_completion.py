"""What a shell offers after Tab: asked as bash, zsh and fish ask, and in the shells themselves where they are here."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bot.cli import app

OFFERED = [
    ("cnibot ", {"diagnose", "replay", "lab", "demo", "completion"}),
    ("cnibot completion ", {"bash", "zsh", "fish"}),
    ("cnibot diagnose --acc", {"--access"}),
    ("cnibot diagnose --access ", {"api", "exec", "cni-agent", "agent"}),
    ("cnibot diagnose shop --output ", {"text", "json", "yaml", "markdown"}),
    ("cnibot diagnose --playbook dn", {"dns"}),
    ("cnibot replay --output y", {"yaml"}),
    ("cnibot causes ", {"list", "show"}),
    ("cnibot causes show calico-proxy-a", {"calico-proxy-arp-off"}),
    ("cnibot known-issues show calico-86", {"calico-8689"}),
    ("cnibot playbooks show name", {"namespace"}),
    ("cnibot probes show pod-arp", {"pod-arp-table"}),
    ("cnibot plan ", {"propose", "approve"}),
    ("cnibot audit ", {"verify", "export"}),
    ("cnibot incidents ", {"list"}),
    ("cnibot lab ", {"up", "down", "status", "exec", "break", "heal", "faults", "gym"}),
    ("cnibot lab up --", {"--cni", "--nodes", "--detach"}),
    ("cnibot lab up --cni fl", {"flannel-vxlan"}),
    ("cnibot lab break calico-proxy-arp-off --", {"--node", "--pod"}),
    ("cnibot lab break calico-proxy-a", {"calico-proxy-arp-off", "calico-proxy-arp-off-one-pod"}),
    ("cnibot lab gym --rung ", {"api", "agent"}),
    ("cnibot demo --", {"--scripted", "--port"}),
]
"""What is typed before Tab, and what must be offered then."""


def asked(shell: str, typed: str) -> Mapping[str, str]:
    """The variables by which a shell asks."""
    words = typed.split(" ")
    return {"_CNIBOT_COMPLETE": f"complete_{shell}"} | (
        {"COMP_WORDS": typed, "COMP_CWORD": str(len(words) - 1)}
        if shell == "bash"
        else {"_TYPER_COMPLETE_ARGS": typed, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    )


def words_of(shell: str, answer: str) -> set[str]:
    match shell:
        case "zsh":
            inner = answer.partition("((")[2].rpartition("))")[0]
            return {line.partition(":")[0].strip('"') for line in inner.splitlines()}
        case _:
            return {line.partition("\t")[0] for line in answer.splitlines()}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
@pytest.mark.parametrize(("typed", "wanted"), OFFERED)
def test_each_command_is_completed(shell: str, typed: str, wanted: set[str]) -> None:
    done = CliRunner().invoke(app, [], env=dict(asked(shell, typed)), prog_name="cnibot")

    assert wanted <= words_of(shell, done.output), done.output


def test_every_command_stands_in_the_table() -> None:
    done = CliRunner().invoke(app, [], env=dict(asked("bash", "cnibot ")), prog_name="cnibot")
    groups_of_one = {"serve", "doctor", "version", "alerts"}

    assert (
        words_of("bash", done.output)
        == {word for typed, _ in OFFERED for word in typed.split(" ")[1:2] if word} | groups_of_one
    )


IN_SHELLS = {
    "bash": """
source <(cnibot completion bash)
COMP_WORDS=(cnibot lab br) COMP_CWORD=2
_cnibot_completion cnibot
echo "${COMPREPLY[@]}"
""",
    "zsh": """
autoload -Uz compinit && compinit -u -d "$HOME/.zcompdump"
source <(cnibot completion zsh)
words=(cnibot lab br) CURRENT=3
_arguments() { echo "$@" }
_cnibot_completion
""",
    "fish": """
cnibot completion fish | source
complete --do-complete "cnibot lab br"
""",
}


@pytest.mark.parametrize("shell", IN_SHELLS)
def test_the_script_works_in_the_shell_itself(shell: str, tmp_path: Path) -> None:
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed here")
    environment = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        [program, "-c", IN_SHELLS[shell]], env=environment, capture_output=True, text=True, check=False, timeout=120
    )

    assert "break" in done.stdout, done.stderr
    assert "heal" not in done.stdout
