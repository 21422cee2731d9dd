"""`cnibot demo`: the founding story, played on real kernel networking."""

import asyncio
import signal
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bot.cli.common import NO_DIAGNOSIS, PROBLEM, begin, errors_explained, fail, knowledge_of
from bot.incidents.diagnose import Diagnosis, diagnose_cluster
from bot.incidents.knowledge import Knowledge
from bot.incidents.request import Request
from bot.lab import launch
from bot.lab.control import LabClient
from bot.lab.errors import LabError
from bot.render.terminal import ReportView

NAMESPACE, SCHEDULER, FAULT, VICTIM = "seldon-mesh", "10.43.51.131", "calico-proxy-arp-off", "node-2"
GATEWAY = "169.254.1.1"


class Stage:
    """The lab, the rules, and the terminal on which the story is told."""

    def __init__(self, client: LabClient, knowledge: Knowledge, console: Console) -> None:
        self.client = client
        self.knowledge = knowledge
        self.console = console

    def say(self, sentence: str) -> None:
        """One line of the story."""
        self.console.print(Text(f"\n# {sentence}", style="bold cyan"))

    async def show(self, target: str, *argv: str) -> str:
        """Run a command in the lab as a person would, and show what it prints."""
        where = "" if target.startswith("node") else f"in {target} "
        self.console.print(Text(f"{target if not where else where.strip()} $ {' '.join(argv)}", style="dim"))
        result = await self.client.exec(target, argv)
        text = (result.out + result.err).strip() or "(nothing)"
        self.console.print(Padding(Text(text), (0, 0, 0, 2)))
        return text

    async def diagnose(self) -> Diagnosis:
        """What cnibot says."""
        self.console.print(Text(f"$ cnibot diagnose {NAMESPACE}", style="dim"))
        done = await diagnose_cluster(self.client.kubeconfig, None, Request(namespace=NAMESPACE), self.knowledge)
        self.console.print(ReportView(done.report))
        return done


async def play(stage: Stage) -> bool:
    """The story from healthy to healed; whether cnibot was right at each turn."""
    stage.say("A healthy cluster: Calico over VXLAN, Seldon models that dial their scheduler on port 9004")
    healthy = await stage.diagnose()
    pod = next(
        f"{NAMESPACE}/{pod.metadata.name}"
        for pod in healthy.recording.snapshot.pods
        if pod.spec.node_name == VICTIM and not pod.spec.host_network
    )

    stage.say(f"2 a.m.: something switches proxy ARP off on {VICTIM}")
    await stage.client.break_(FAULT, node=VICTIM)

    stage.say("What the team of the founding story saw, before it blamed Calico issue #8689 and replaced the CNI")
    await stage.show(pod, "timeout", "4", "bash", "-c", f"exec 3<>/dev/tcp/{SCHEDULER}/9004 && echo connected")
    await stage.show(pod, "ip", "neigh", "show", GATEWAY)

    stage.say("The diagnosis")
    broken = await stage.diagnose()

    stage.say("The safest fix, exactly as offered")
    fixes = broken.report.remediations[:1]
    for command in fixes[0].commands if fixes else ():
        await stage.show(VICTIM, *command.split())
    healed = await stage.diagnose()
    return (
        healthy.report.verdict.status == "healthy"
        and broken.report.verdict.cause == FAULT
        and broken.report.verdict.confidence == "confirmed"
        and healed.report.verdict.status == "healthy"
    )


def demo(
    scripted: Annotated[  # noqa: FBT002 a flag
        bool, typer.Option("--scripted", help="End after the story instead of keeping the lab.")
    ] = False,
) -> None:
    """Play the founding story in a lab on this machine: healthy, broken, diagnosed, healed."""
    console = Console(width=None if Console().is_terminal else 100)
    with errors_explained(), tempfile.TemporaryDirectory(prefix="cnibot-demo-") as directory:
        knowledge = knowledge_of(begin(), None)
        began = time.monotonic()
        try:
            lab = launch.start(Path(directory) / "lab", launch.LabOptions(), attached=True)
        except LabError as error:
            fail(str(error), NO_DIAGNOSIS)
        try:
            console.print(f"A lab with 3 nodes is up after {time.monotonic() - began:.1f} s.", style="dim")
            client = LabClient(Path(directory) / "lab")
            is_right = asyncio.run(play(Stage(client, knowledge, console)))
            if not scripted:
                _hold(console, Path(directory) / "lab")
        finally:
            lab.stop()
    raise typer.Exit(0 if is_right else PROBLEM)


def _hold(console: Console, state: Path) -> None:
    console.print(Text("\n# The lab is yours until Ctrl-C. In another terminal:", style="bold cyan"))
    for line in (
        f"export KUBECONFIG={state}/kubeconfig",
        "cnibot lab faults",
        f"cnibot lab break host-veth-down --state {state}",
        f"cnibot diagnose {NAMESPACE}",
        f"cnibot lab heal --state {state}",
    ):
        console.print(Text(f"  {line}"))
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("The lab is gone.", style="dim")
