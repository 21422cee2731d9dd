"""What can be known about the image without building it. (hadolint reads it too, in `make check`.)"""

import json
import re
import subprocess
import tomllib
from dataclasses import dataclass

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from bot.settings import Settings
from tests.architecture.tree import ROOT


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """One instruction with its continuation lines joined."""

    stage: int
    word: str
    rest: str


def instructions() -> list[Instruction]:
    """The Dockerfile in order; stages count from 0."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", text))
    found: list[Instruction] = []
    stage = -1
    for line in filter(None, map(str.strip, joined.splitlines())):
        word, rest = line.split(maxsplit=1)
        stage += word == "FROM"
        found.append(Instruction(stage=stage, word=word, rest=rest))
    return found


INSTRUCTIONS = instructions()
FINAL = [item for item in INSTRUCTIONS if item.stage == INSTRUCTIONS[-1].stage]


def last(word: str) -> str:
    """The value of that instruction that holds at the end."""
    return [item.rest for item in FINAL if item.word == word][-1]


def test_base_images_are_pinned_to_a_python_and_a_debian_release() -> None:
    """One argument names it for both stages, also with a digest: the virtualenv is copied from one to the other."""
    bases = [item.rest.split()[0] for item in INSTRUCTIONS if item.word == "FROM"]
    (base,) = [item.rest for item in INSTRUCTIONS if item.word == "ARG" and item.stage == -1]

    assert bases == ["${BASE}", "${BASE}"]
    assert re.fullmatch(r"BASE=python:3\.1[123](\.\d+)?-slim-(bookworm|trixie)(@sha256:[0-9a-f]{64})?", base), base


DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize("base", ["", "python:3.13-slim-bookworm", f"python@{DIGEST}0", f"python b@{DIGEST}"])
def test_no_image_is_built_on_what_can_be_moved(base: str) -> None:
    made = subprocess.run(["make", "image", f"BASE={base}"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert made.returncode == 2
    assert "BASE names no digest" in made.stderr


def test_an_image_is_built_on_what_somebody_has_looked_at() -> None:
    base = f"python:3.13-slim-bookworm@{DIGEST}"
    made = subprocess.run(
        ["make", "--dry-run", "image", f"BASE={base}"], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert f'docker build --build-arg BASE="{base}" --tag "cnibot" .' in made.stdout


def test_runs_as_nobody_in_particular() -> None:
    assert last("USER") == "65532:65532"


def test_nothing_is_fetched_from_an_address() -> None:
    building = [item for item in INSTRUCTIONS if item.word != "HEALTHCHECK"]

    assert not [item for item in building if item.word == "ADD" or re.search(r"\w://|\bcurl\b|\bwget\b", item.rest)]


def test_health_is_asked_where_the_bot_answers() -> None:
    fields = Settings.model_fields

    assert f"http://{fields['health_host'].default}:{fields['health_port'].default}/healthz" in last("HEALTHCHECK")


def test_what_is_copied_exists_and_is_let_into_the_context() -> None:
    copied = [
        source
        for item in INSTRUCTIONS
        if item.word == "COPY" and "--from" not in item.rest
        for source in item.rest.split()[:-1]
    ]
    let_in = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}

    assert copied
    assert {source for source in copied if not (ROOT / source).exists()} == set()
    assert set(copied) == let_in


def test_python_packages_come_locked_with_hashes_or_from_this_tree() -> None:
    installs = [
        command
        for item in INSTRUCTIONS
        if item.word == "RUN"
        for command in item.rest.split("&&")
        if re.search(r"\bpip\b.* install\b", command)
    ]

    assert len(installs) == 3
    assert all("--require-hashes" in command or "--no-index" in command for command in installs), installs


def test_no_build_tools_in_the_final_stage() -> None:
    runs = " ".join(item.rest for item in FINAL if item.word == "RUN")

    assert "pip uninstall" in runs
    assert not re.search(r"\b(gcc|build-essential|python3-dev|make|git)\b", runs)
    assert "rm -rf /var/lib/apt/lists/*" in runs


def test_tools_of_the_node_agent_are_there() -> None:
    runs = " ".join(item.rest for item in FINAL if item.word == "RUN")

    assert all(re.search(rf"\b{package}\b", runs) for package in ("iproute2", "iptables", "nftables"))


def test_entry_points_are_commands_of_this_project() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]

    assert last("ENTRYPOINT") == '["cnibot"]'
    assert {"cnibot", "cnibot-agent"} <= set(scripts)
    for target in scripts.values():
        module, _, name = target.partition(":")
        source = ROOT / (module.replace(".", "/") + ".py")
        assert f"def {name}(" in source.read_text(encoding="utf-8"), f"{target} does not exist"


def test_the_bill_of_materials_is_valid_and_names_what_the_image_gets() -> None:
    text = (ROOT / "deploy" / "sbom.cdx.json").read_text(encoding="utf-8")
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    unconditional = {tuple(pin) for pin in re.findall(r"(?m)^([\w.-]+)==([^\s;\\]+) \\$", lock)}
    bom = json.loads(text)
    named = {(one["name"], one["version"]) for one in bom["components"]}

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert bom["metadata"]["component"]["name"] == "cnibot"
    assert len(unconditional) >= 40
    assert unconditional <= named
    assert not {"colorama", "async-timeout"} & {name for name, _ in named}, "of other systems, of an older Python"
