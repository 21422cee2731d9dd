"""The founding story on a terminal: what the team of the story saw, and what cnibot says instead."""

import shlex
from collections.abc import Sequence

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from bot.diagnosis.diagnose import Diagnosis, diagnose_cluster
from bot.diagnosis.knowledge import Knowledge
from bot.diagnosis.request import Request
from bot.domain.listing import left_out
from bot.lab.cluster.control import LabClient
from bot.render.loops import pasteable
from bot.render.terminal import show

NAMESPACE, SCHEDULER, FAULT, VICTIM = "seldon-mesh", "10.43.51.131", "calico-proxy-arp-off", "node-2"
GATEWAY = "169.254.1.1"
DIAL = ("timeout", "4", "bash", "-c", f"exec 3<>/dev/tcp/{SCHEDULER}/9004 && echo connected")


class StoryContext:
    """The lab, the rules, and the terminal on which the story is shown."""

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

    async def apply(self, node: str, commands: Sequence[str]) -> None:
        """Run commands on a node, shown as a person pastes them."""
        shown, hidden = pasteable(commands)
        for number, line in enumerate([*shown, *([f"# {left_out(hidden)}"] if hidden else [])]):
            self.console.print(Text(f"{node} $ {line}" if number == 0 else f"  {line}", style="dim"), soft_wrap=True)
        for command in commands:
            await self.client.exec(node, shlex.split(command))

    async def diagnose(self) -> Diagnosis:
        """What cnibot says."""
        self.console.print(Text(f"$ cnibot diagnose {NAMESPACE}", style="dim"))
        done = await self.diagnosis()
        show(self.console, done.report)
        return done

    async def diagnosis(self) -> Diagnosis:
        """The same, not shown."""
        return await diagnose_cluster(self.client.kubeconfig, None, Request(namespace=NAMESPACE), self.knowledge)


async def play(story: StoryContext) -> bool:
    """The story from healthy to healed; whether cnibot was right at each turn."""
    story.say("A healthy cluster: Calico over VXLAN, Seldon models that dial their scheduler on port 9004")
    healthy = await story.diagnose()
    pod = next(
        f"{NAMESPACE}/{pod.metadata.name}"
        for pod in healthy.recording.snapshot.pods
        if pod.spec.node_name == VICTIM and not pod.spec.host_network
    )

    story.say(f"2 a.m.: something switches proxy ARP off on {VICTIM}")
    await story.client.break_(FAULT, node=VICTIM)

    story.say("What the team of the founding story saw, before it blamed Calico issue #8689 and replaced the CNI")
    await story.show(pod, *DIAL)
    await story.show(pod, "ip", "neigh", "show", GATEWAY)

    story.say("The diagnosis")
    broken = await story.diagnose()

    story.say("The safest fix, exactly as offered")
    for fix in broken.report.remediations[:1]:
        await story.apply(VICTIM, fix.commands)
    await story.show(pod, *DIAL)  # it waits until the pod asks for its gateway again, at most a second later
    healed = await story.diagnose()
    return (
        healthy.report.verdict.status == "healthy"
        and broken.report.verdict.cause == FAULT
        and broken.report.verdict.confidence == "confirmed"
        and healed.report.verdict.status == "healthy"
    )
