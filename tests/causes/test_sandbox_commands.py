"""Commands that enter a pod from its node: of all sandboxes there, crictl must give the pod's own, and only that.

crictl itself needs a container runtime. In its place stands a program with the flags of its documentation: any other
ends in an error, and --name and --namespace are regular expressions that match anywhere, as they are there.
Source: https://github.com/kubernetes-sigs/cri-tools/blob/master/cmd/crictl/sandbox.go
"""

import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from bot.causes.cause import Cause
from bot.causes.differential import differentiate
from bot.causes.loading import load_causes
from bot.causes.looks import filled
from bot.domain.facts import FactTable, Relations
from bot.probes.catalogue import FACTS
from bot.rules.source import data_directory
from tests.causes.cluster_facts import fixtures, subject

CRICTL = """#!{python}
import argparse, re, sys
commands = argparse.ArgumentParser(allow_abbrev=False).add_subparsers(dest="command", required=True)
pods = commands.add_parser("pods", allow_abbrev=False)
pods.add_argument("--quiet", "-q", action="store_true", required=True)
pods.add_argument("--state", "-s", choices=["ready", "notready"], default="")
pods.add_argument("--namespace", default="")
pods.add_argument("--name", default="")
inspectp = commands.add_parser("inspectp", allow_abbrev=False)
inspectp.add_argument("--output", "-o", choices=["json", "yaml", "go-template", "table"], required=True)
inspectp.add_argument("--template", required=True)
inspectp.add_argument("ids", nargs="+")
logs = commands.add_parser("logs", allow_abbrev=False)
logs.add_argument("--since")
logs.add_argument("id")
ps = commands.add_parser("ps", allow_abbrev=False)
ps.add_argument("--quiet", "-q", action="store_true", required=True)
ps.add_argument("--name", default="")
wanted = commands.choices[sys.argv[1]].parse_args(sys.argv[2:])
sandboxes = dict(mine=("ready", "shop", "a"), ended=("notready", "shop", "a"), longer=("ready", "shop", "a-2"),
                 before=("ready", "shop", "b-a"), elsewhere=("ready", "workshop", "a"))
if sys.argv[1] == "pods":
    for one, (state, namespace, name) in sandboxes.items():
        if wanted.state in ("", state) and re.search(wanted.namespace, namespace) and re.search(wanted.name, name):
            print(one)
if sys.argv[1] == "inspectp":
    assert wanted.template == "{{{{.info.pid}}}}"
    for one in wanted.ids:
        print(dict(mine=4711, ended=1, longer=2, before=3, elsewhere=4)[one])
if sys.argv[1] == "ps":
    print("agent")
if sys.argv[1] == "logs":
    print("logs of", wanted.id, "since", wanted.since)
"""


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's programs."""
    programs = {
        "crictl": CRICTL.format(python=sys.executable),
        "nsenter": '#!/bin/sh\necho "$@"\n',
    }
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def typed(node: Path, command: str) -> str:
    """What it prints in the shell of that node."""
    environment = {"PATH": f"{node}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", command], cwd=node, env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.stderr == ""
    return done.stdout


@cache
def causes() -> tuple[Cause, ...]:
    return load_causes([data_directory() / "causes"], FACTS.values())


def fixes(name: str) -> list[str]:
    """The commands that a cause gives for shop/a, with a word for what a person decides."""
    fixture = next(one for one in fixtures() if one.name == name)
    offered = differentiate(causes(), fixture.facts, fixture.symptoms).selected[0].fixes
    return [re.sub("<[^>]*>", "x", one) for fix in offered for one in fix.commands if "crictl" in one]


IN_A_SANDBOX = (
    "pod-gateway-mac-static",
    "pod-loopback-address-missing",
    "pod-loopback-down",
    "pod-qdisc-drops-packets",
    "pod-tc-filter-takes-packets",
    "pod-ttl-too-small",
)


@pytest.mark.parametrize("cause", IN_A_SANDBOX)
def test_a_fix_is_typed_into_the_pod_that_it_names(node: Path, cause: str) -> None:
    """Neither into one whose name only contains its own, nor into a sandbox that has ended."""
    commands = fixes(cause)

    assert commands
    assert [typed(node, one).startswith("-t 4711 -n ") for one in commands] == [True] * len(commands)


def test_every_cause_that_needs_a_sandbox_is_tried_here() -> None:
    files = {
        path.stem for path in (data_directory() / "causes").glob("*.yaml") if "crictl inspectp" in path.read_text()
    }

    assert files == set(IN_A_SANDBOX)


def test_a_look_goes_into_the_pod_that_it_names(node: Path) -> None:
    pod = subject("pod shop/a")
    facts = FactTable({pod: {}}, relations=Relations())

    assert typed(node, filled("nsenter -t <pid> -n ip route", pod, facts)) == "-t 4711 -n ip route\n"


@pytest.mark.parametrize(
    "name", ["a$(touch here)", "a`touch here`", "a'; touch here; '", "a|touch here", "a\ntouch here"]
)
def test_a_name_that_a_shell_would_read_runs_nothing(node: Path, name: str) -> None:
    for pod in (subject(f"pod shop/{name}"), subject(f"pod {name}/a")):
        look = filled("crictl pods -q --name <sandbox>", pod, FactTable({pod: {}}, relations=Relations()))
        typed(node, look.replace("crictl pods -q --name ", "echo ", 1))

    assert not (node / "here").exists()


def test_the_agents_logs_are_read_with_flags_that_there_are(node: Path) -> None:
    (look,) = {spec.look for spec in FACTS.values() if spec.look.startswith("crictl logs")}

    assert typed(node, look.partition("  #")[0]) == "logs of agent since 30m\n"
