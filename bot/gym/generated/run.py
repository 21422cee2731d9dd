"""Playing scenarios: one lab of each data plane for many of them, a fresh one only where an undo left something."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace

from bot.causes.cause import Cause
from bot.diagnosis.diagnose import diagnose_cluster
from bot.diagnosis.knowledge import Knowledge
from bot.diagnosis.request import Request
from bot.domain.facts import Rung
from bot.domain.report import Report
from bot.gym.generated.inject import Injected, fingerprint, inject, undo
from bot.gym.generated.lab_names import read_names
from bot.gym.generated.oracle import Answer, Effect, all_work, effect, measure
from bot.gym.generated.outcome import Result, judged, skipped
from bot.gym.generated.scenario import Scenario
from bot.lab.cluster import launch
from bot.lab.cluster.control import LabClient
from bot.lab.errors import LabError
from bot.lab.scratch import scratch

REPEAT_AFTER_S = 10.0
_SETTLE_S = 1.5
_LATE_S = 6.0
"""Some faults bite only when something expires or is probed again."""
_CALM_TRIES, _CALM_S = 12, 1.5


@dataclass(slots=True, kw_only=True)
class Lab:
    """A running lab, and how it looked when nothing was broken."""

    client: LabClient
    clean: Mapping[str, Mapping[str, str]]
    """By namespace."""
    layout: frozenset[tuple[str, str]]
    """Which workload runs on which node: a pod that is created anew may come to another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How to play."""

    rungs: tuple[Rung, ...] = (Rung.AGENT,)
    repeat_every: int = 0
    """Diagnose one fault in so many again, ten seconds later (0: none); its seed says which."""


Say = Callable[[str], None]


async def play(
    scenarios: Sequence[Scenario], knowledge: Knowledge, options: Options, say: Say
) -> AsyncIterator[tuple[Result, ...]]:
    """The results of each scenario, one for each rung."""
    causes = {cause.id: cause for cause in knowledge.causes}
    async with AsyncExitStack() as stack:
        lab: Lab | None = None
        cni = ""
        for scenario in scenarios:
            if lab is None or cni != scenario.cni:
                await stack.aclose()
                lab, cni = await stack.enter_async_context(a_lab(scenario.cni, say)), scenario.cni
            is_repeated = bool(options.repeat_every) and scenario.seed % options.repeat_every == 0
            turn = _Turn(lab, scenario, knowledge, causes, options, is_repeated=is_repeated)
            yield await turn.play()
            if not turn.is_clean:
                say(f"    the lab of {cni} is not as before: a fresh one ({turn.left})")
                lab = None


@asynccontextmanager
async def a_lab(cni: str, say: Say) -> AsyncGenerator[Lab]:
    """A fresh lab in which everything works. It is gone afterwards, however that ends."""
    with scratch("gym") as directory:
        path = directory / "lab"
        running = await asyncio.to_thread(launch.start, path, launch.LabOptions(cni=cni), attached=True)
        try:
            client = LabClient(path)
            for namespace in ("seldon-mesh", "mlflow"):
                await calm(client, namespace)
            clean = {namespace: await fingerprint(client, namespace) for namespace in ("seldon-mesh", "mlflow")}
            say(f"a lab of {cni} is up")
            yield Lab(client=client, clean=clean, layout=await layout(client))
        finally:
            await asyncio.to_thread(running.stop)


async def layout(client: LabClient) -> frozenset[tuple[str, str]]:
    """Workloads and their nodes."""
    pods = (await client.status())["networks"]
    return frozenset((f"{one['namespace']}/{one['name'].rsplit('-', 2)[0]}", one["node"]) for one in pods)


async def calm(client: LabClient, namespace: str) -> Mapping[str, Answer]:
    """The answers once everything works. Raises LabError when it does not within some tries."""
    answers: Mapping[str, Answer] = {}
    for _ in range(_CALM_TRIES):
        answers = await measure(client, namespace)
        if all_work(answers):
            return answers
        await asyncio.sleep(_CALM_S)
    failing = sorted(name for name, one in answers.items() if not one.works)
    raise LabError(f"though nothing is broken there fails: {', '.join(failing)}")


class _Turn:
    """One scenario: inject, prove, diagnose, prove again that it is still so, take back, prove that nothing is left."""

    def __init__(
        self,
        lab: Lab,
        scenario: Scenario,
        knowledge: Knowledge,
        causes: Mapping[str, Cause],
        options: Options,
        *,
        is_repeated: bool,
    ) -> None:
        self._lab = lab
        self._scenario = scenario
        self._knowledge = knowledge
        self._causes = causes
        self._options = options
        self._is_repeated = is_repeated and not scenario.is_decoy
        self.is_clean = True
        self.left = ""

    async def play(self) -> tuple[Result, ...]:
        """The results, one for each rung."""
        client, namespace = self._lab.client, self._scenario.edge.namespace
        try:
            before = await calm(client, namespace)
            names = await read_names(client, self._scenario)
            injected = await inject(client, self._scenario, names)
        except LabError as error:
            await self._check()
            return (skipped(self._scenario, "not done", str(error)),)
        try:
            return await self._diagnosed(injected, before)
        finally:
            await self._take_back(injected)

    async def _diagnosed(self, injected: Injected, before: Mapping[str, Answer]) -> tuple[Result, ...]:
        client, scenario = self._lab.client, self._scenario
        proven = await self._proof(before)
        if proven is None and not scenario.is_decoy:
            return (skipped(scenario, "no effect", "everything still works"),)
        if proven is not None and scenario.is_decoy:
            return (skipped(scenario, "not done", f"a decoy that breaks {proven.symptom}: it is none"),)
        found: list[Result] = []
        for rung in self._options.rungs:
            report = await self._report(rung)
            found.append(self._judged(injected, proven, report, rung))
        if self._is_repeated:
            found[-1] = await self._again(injected, proven, found[-1])
        if (
            proven is not None
            and effect(before, await measure(client, scenario.edge.namespace, scenario.new_pods)) is None
        ):
            return (skipped(scenario, "no effect", f"{proven.symptom}, but it healed by itself"),)
        return tuple(found)

    async def _again(self, injected: Injected, proven: Effect | None, first: Result) -> Result:
        await asyncio.sleep(REPEAT_AFTER_S)
        rung = self._options.rungs[-1]
        second = self._judged(injected, proven, await self._report(rung), rung)
        is_same = (first.status, first.cause) == (second.status, second.cause)
        said = "" if is_same else f"{second.status} {second.cause or second.hop} ({second.outcome})"
        return replace(first, is_repeated=True, again=said)

    async def _proof(self, before: Mapping[str, Answer]) -> Effect | None:
        """What broke, by the sockets' word; of a decoy more is asked, for it shall break nothing at all."""
        client, namespace = self._lab.client, self._scenario.edge.namespace
        new_pods = self._scenario.new_pods
        await asyncio.sleep(_SETTLE_S)
        found = effect(before, await measure(client, namespace, new_pods, with_itself=self._scenario.is_decoy))
        if found is None and not self._scenario.is_decoy:
            await asyncio.sleep(_LATE_S)
            found = effect(before, await measure(client, namespace, new_pods))
        return found

    async def _report(self, rung: Rung) -> Report:
        request = Request(namespace=self._scenario.edge.namespace, access=rung)
        return (await diagnose_cluster(self._lab.client.kubeconfig, None, request, self._knowledge)).report

    def _judged(self, injected: Injected, proven: Effect | None, report: Report, rung: Rung) -> Result:
        return judged(self._scenario, proven, report, self._causes, rung=str(rung), filled=injected.names.filled)

    async def _take_back(self, injected: Injected) -> None:
        try:
            await undo(self._lab.client, injected)
        except (LabError, TimeoutError) as error:
            self.is_clean, self.left = False, str(error)
            return
        await self._check()

    async def _check(self) -> None:
        """Whether the lab is as it was: nothing left in the kernel, and every flow works."""
        namespace = self._scenario.edge.namespace
        now, clean = await fingerprint(self._lab.client, namespace), self._lab.clean[namespace]
        different = sorted(target for target in clean if now.get(target) != clean[target])
        if different:
            self.is_clean, self.left = False, f"left on {', '.join(different)}"
            return
        if await layout(self._lab.client) != self._lab.layout:
            self.is_clean, self.left = False, "pods run on other nodes than before"
            return
        try:
            await calm(self._lab.client, namespace)
        except LabError as error:
            self.is_clean, self.left = False, str(error)
