"""``cnibot lab``: bring a lab up, look into it, break it, heal it, take it down."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from bot.lab.cluster import launch
from bot.lab.cluster.control import LabClient
from bot.lab.cluster.names import BARE, CNIS, KUBEADM
from bot.lab.cluster.state import StateDirectory, default_directory
from bot.lab.errors import LabError

app = typer.Typer(
    help="A cluster in network namespaces on this machine: real kernel networking, no containers.",
    no_args_is_help=True,
)
T = TypeVar("T")
_ENDING = {signal.SIGINT, signal.SIGTERM}

State = Annotated[Path | None, typer.Option("--state", help="State directory; a second lab needs a second one.")]
Output = Annotated[str, typer.Option("--output", help="text or json")]


def fault_names(incomplete: str) -> list[str]:
    """For the shell."""
    from bot.lab.cluster.faults.registry import all_faults  # noqa: PLC0415 - imports the whole lab

    return sorted(name for name in all_faults() if name.startswith(incomplete))


def cni_names(incomplete: str) -> list[str]:
    """For the shell."""
    return [name for name in (*CNIS, KUBEADM, BARE) if name.startswith(incomplete)]


@app.command()
def up(
    cni: Annotated[
        str,
        typer.Option(
            help="calico-vxlan, flannel-vxlan (as K3s), flannel-kubeadm, cilium-tunnel or none",
            autocompletion=cni_names,
        ),
    ] = "calico-vxlan",
    nodes: Annotated[int, typer.Option(help="Number of nodes")] = 3,
    state: State = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when the lab is ready")] = False,  # noqa: FBT002
    no_workloads: Annotated[bool, typer.Option("--no-workloads", help="Only kube-system")] = False,  # noqa: FBT002
    pods: Annotated[int, typer.Option(help="Additional idle pods on every node")] = 0,
) -> None:
    """Bring a lab up. Without --detach it runs until Ctrl-C."""
    options = launch.LabOptions(cni=cni, nodes=nodes, workloads=not no_workloads, pods=pods)
    began = time.monotonic()
    lab = _or_exit(lambda: launch.start(_directory(state), options, attached=not detach))
    took_s = time.monotonic() - began
    if not detach:
        signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)  # from here on they are waited for
    typer.echo(f"{cni} lab with {nodes} nodes is up after {took_s:.1f} s", err=True)
    typer.echo(str(lab.state.kubeconfig))
    if not detach:
        _hold(lab)


def _hold(lab: launch.RunningLab) -> None:
    typer.echo("Ctrl-C ends it.", err=True)
    signal.sigwait(_ENDING)
    _or_exit(lab.stop)


@app.command()
def down(state: State = None) -> None:
    """End the lab and remove everything it made. Fine when there is none."""
    directory = StateDirectory(_directory(state))
    was_running = _or_exit(lambda: launch.stop(directory))
    typer.echo("the lab is down" if was_running else "no lab was running")


@app.command()
def status(state: State = None, output: Output = "text") -> None:
    """Nodes, pods and injected faults of the running lab."""
    found = _ask(state, lambda client: client.status())
    if output == "json":
        typer.echo(json.dumps(found))
        return
    typer.echo(f"{found['cni']}, kubeconfig {found['kubeconfig']}")
    for node in found["nodes"]:
        typer.echo(f"  {node['name']:<10} {node['ip']:<14} {node['pods']} pods")
    typer.echo("injected: " + (", ".join(found["injected"]) or "nothing"))


@app.command("exec")
def exec_(
    target: Annotated[str, typer.Argument(help="A node, or NAMESPACE/POD; also `underlay` and `outside`")],
    command: Annotated[list[str], typer.Argument(metavar="-- CMD…")],
    state: State = None,
) -> None:
    """Run a program of this machine in a node's or pod's namespaces, as root of the lab."""
    client = LabClient(_directory(state))
    raise typer.Exit(_or_exit(lambda: client.exec_here(target, command)))


@app.command("break")
def break_(
    fault: Annotated[str, typer.Argument(help="See `cnibot lab faults`", autocompletion=fault_names)],
    node: Annotated[str, typer.Option(help="The node to break")] = "",
    pod: Annotated[str, typer.Option(help="The pod to break: NAMESPACE/NAME")] = "",
    state: State = None,
) -> None:
    """Inject a fault: a real change of the lab's kernel state or objects."""
    done = _ask(state, lambda client: client.break_(fault, node=node, pod=pod))
    typer.echo(f"{done['fault']} injected at {done['node']}, {done['pod']}")
    for change in done["changes"]:
        typer.echo(f"  {change[:160]}")


@app.command()
def heal(state: State = None) -> None:
    """Undo every injected fault."""
    healed = _ask(state, lambda client: client.heal())
    typer.echo("healed: " + (", ".join(healed) or "nothing was broken"))


@app.command()
def faults(
    output: Output = "text",
    cni: Annotated[str, typer.Option(help="Only those possible with this CNI", autocompletion=cni_names)] = "",
) -> None:
    """List the faults that can be injected; needs no running lab."""
    from bot.lab.cluster.faults.registry import all_faults  # noqa: PLC0415 - imports the whole lab

    found = [one.as_json() for one in all_faults().values() if not cni or cni in one.cnis]
    if output == "json":
        typer.echo(json.dumps(found))
        return
    for one in found:
        where = "" if len(one["cnis"]) == 3 else f" [{', '.join(one['cnis'])}]"
        typer.echo(f"{one['letter']:<4} {one['id']:<36} {one['scope']:<8} {one['title']}{where}")


def _directory(state: Path | None) -> Path:
    return state or default_directory(os.environ, Path.home())


def _ask(state: Path | None, question: Callable[[LabClient], Coroutine[Any, Any, T]]) -> T:
    client = LabClient(_directory(state))
    return _or_exit(lambda: asyncio.run(question(client)))


def _or_exit(work: Callable[[], T]) -> T:
    """The result, or one sentence on stderr and the error's exit code."""
    try:
        return work()
    except LabError as error:
        _fail(error)


def _fail(error: LabError) -> NoReturn:
    sys.stderr.write(f"cnibot lab: {error}\n")
    raise typer.Exit(error.exit_code)
