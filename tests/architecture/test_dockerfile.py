"""What can be known about the image without building it. (hadolint reads it too, in `make check`.)"""

import hashlib
import io
import json
import os
import re
import ssl
import subprocess
import sys
import tarfile
import threading
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from bot.settings import Settings
from tests.architecture.tree import ROOT
from tests.certificates import Authority


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
    """One argument names it for both stages, by its digest: the virtualenv is copied from one to the other."""
    bases = [item.rest.split()[0] for item in INSTRUCTIONS if item.word == "FROM"]
    (base,) = [item.rest for item in INSTRUCTIONS if item.word == "ARG" and item.stage == -1]

    assert bases == ["${BASE}", "${BASE}"]
    assert re.fullmatch(r"BASE=python:3\.1[123](\.\d+)?-slim-(bookworm|trixie)@sha256:[0-9a-f]{64}", base), base


DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize("base", ["python:3.13-slim-bookworm", f"python@{DIGEST}0", f"python b@{DIGEST}"])
def test_no_image_is_built_on_what_can_be_moved(base: str) -> None:
    made = subprocess.run(["make", "image", f"BASE={base}"], cwd=ROOT, capture_output=True, text=True, check=False)

    assert made.returncode == 2
    assert "BASE names no digest" in made.stderr


def test_an_image_is_built_on_what_somebody_has_looked_at() -> None:
    base = f"python:3.13-slim-bookworm@{DIGEST}"
    command = ["make", "--dry-run", "image", f"BASE={base}", "HELM_URL=https://x/helm.tgz", f"HELM_SHA256={'0' * 64}"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    given = f'--build-arg BASE="{base}" --build-arg HELM_URL="https://x/helm.tgz" --build-arg HELM_SHA256="{"0" * 64}"'

    assert f'docker build {given} --tag "cnibot" .' in " ".join(made.stdout.split())


def test_without_a_base_the_image_is_built_on_the_dockerfiles() -> None:
    made = subprocess.run(["make", "--dry-run", "image"], cwd=ROOT, capture_output=True, text=True, check=True)

    assert 'docker build --tag "cnibot" .' in " ".join(made.stdout.split())


def test_runs_as_nobody_in_particular() -> None:
    assert last("USER") == "65532:65532"


def test_nothing_is_fetched_from_an_address() -> None:
    building = [item for item in INSTRUCTIONS if item.word != "HEALTHCHECK"]

    assert not [item for item in building if item.word == "ADD" or re.search(r"\w://|\bcurl\b|\bwget\b", item.rest)]


class _Files(BaseHTTPRequestHandler):
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for name, data in {"linux-amd64/README.md": b"read me", "linux-amd64/helm": b"#!/bin/sh\necho v4\n"}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    files: ClassVar = {"/kubectl": b"#!/bin/sh\necho v1.36\n", "/helm.tar.gz": archive.getvalue()}

    def do_GET(self) -> None:
        data = self.files.get(self.path)
        self.send_response(200 if data else 404)
        self.end_headers()
        self.wfile.write(data or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        """Say nothing."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """An HTTPS server on loopback whose certificate SSL_CERT_FILE vouches for."""
    authority = Authority(tmp_path, "ca")
    pair = authority.server("server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Files) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def fetched(tmp_path: Path, name: str, url: str, sha256: str) -> subprocess.CompletedProcess[str]:
    script = ROOT / "deploy" / "image" / "tool.py"
    return subprocess.run(
        [sys.executable, script, name, url, sha256, tmp_path / "bin"],
        env={**os.environ, "SSL_CERT_FILE": str(tmp_path / "ca.crt"), "no_proxy": "127.0.0.1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("name", "path", "says"), [("kubectl", "/kubectl", "v1.36"), ("helm", "/helm.tar.gz", "v4")])
def test_a_program_comes_into_the_image_by_its_checksum(
    tmp_path: Path, site: str, name: str, path: str, says: str
) -> None:
    sha256 = hashlib.sha256(_Files.files[path]).hexdigest()

    done = fetched(tmp_path, name, site + path, sha256)

    assert done.returncode == 0, done.stderr
    assert subprocess.run([tmp_path / "bin" / name], capture_output=True, text=True, check=True).stdout.strip() == says


@pytest.mark.parametrize(
    ("name", "path", "data", "problem"),
    [
        ("kubectl", "/kubectl", b"another", "has the SHA-256"),
        ("kubectl", "/gone", b"", "cannot be read"),
        ("kubectl", "/helm.tar.gz", _Files.files["/helm.tar.gz"], "holds no file of that name"),
    ],
)
def test_what_is_not_as_asked_ends_the_build(
    tmp_path: Path, site: str, name: str, path: str, data: bytes, problem: str
) -> None:
    done = fetched(tmp_path, name, site + path, hashlib.sha256(data).hexdigest())

    assert done.returncode == 1
    assert problem in done.stderr
    assert list((tmp_path / "bin").iterdir()) == []


def test_a_program_without_a_checksum_ends_the_build(tmp_path: Path) -> None:
    assert fetched(tmp_path, "helm", "https://localhost/helm", "").returncode == 1
    assert fetched(tmp_path, "helm", "http://localhost/helm", "0" * 64).returncode == 1


def test_an_image_without_these_programs_can_be_built(tmp_path: Path) -> None:
    done = fetched(tmp_path, "helm", "", "")

    assert done.returncode == 0
    assert list((tmp_path / "bin").iterdir()) == []


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
