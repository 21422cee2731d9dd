"""Doing what a scenario says in a running lab, and taking it back."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass

from bot.aio.each import each
from bot.domain.errors import ConfigurationError
from bot.gym.generated.lab_names import LabNames
from bot.gym.generated.scenario import Scenario, Step
from bot.lab.cluster.control import LabClient
from bot.lab.errors import LabError

_STATE = r"""
nft list tables
ip rule
ip -o link | sed 's/^[0-9]*: \([^:@]*\)[:@].*\(mtu [0-9]*\).*state \([A-Z]*\).*/\1 \2 \3/'
tc qdisc show | grep -v noqueue
for kind in blackhole unreachable prohibit; do ip route show table all type $kind; done
ip route show default
cat /etc/resolv.conf
sysctl -n net.ipv4.ip_forward
"""
"""What a scenario may leave behind, as text that is the same whenever nothing is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Injected:
    """A scenario that is in force, and what is needed to take it back."""

    scenario: Scenario
    names: LabNames
    done: tuple[Step, ...]


async def inject(client: LabClient, scenario: Scenario, names: LabNames) -> Injected:
    """Do every step, then every change. Raises LabError when the kernel or the API refuses one."""
    done: list[Step] = []
    for step in scenario.steps:
        result = await client.exec(names.target(step.on), ["sh", "-c", names.filled(step.do)])
        done.append(step)
        if result.code != 0:
            await undo(client, Injected(scenario=scenario, names=names, done=tuple(done)))
            raise LabError(f"{step.on}: {names.filled(step.do)}: {result.err.strip() or result.code}")
    if scenario.changes:
        await client.change([names.changed(one) for one in scenario.changes])
    return Injected(scenario=scenario, names=names, done=tuple(done))


async def undo(client: LabClient, injected: Injected) -> None:
    """Take everything back, newest first, and wait for the lab's pods. Raises LabError when they stay unready."""
    names = injected.names
    for step in reversed(injected.done):
        await client.exec(names.target(step.on), ["sh", "-c", names.filled(step.undo)])
    nodes = sorted({names.values[f"{role}_NODE"] for role in ("SRC", "DST")}) if injected.scenario.resync else []
    await client.restore(nodes)


async def fingerprint(client: LabClient, namespace: str) -> dict[str, str]:
    """What the nodes, the underlay and the namespace's pods look like: the same before and after a clean undo."""
    status = await client.status()
    pods = [f"{namespace}/{one['name']}" for one in status["networks"] if one["namespace"] == namespace]
    targets = [*(node["name"] for node in status["nodes"]), "underlay", *pods]

    async def one(target: str) -> str:
        return (await client.exec(target, ["sh", "-c", _STATE])).out

    # Pods that were created anew have other names: by workload, their states are the same.
    found = zip(targets, await each(targets, one), strict=True)
    return {target.rsplit("-", 2)[0] if "/" in target else target: _nameless(text) for target, text in found}


def _nameless(text: str) -> str:
    """Without the devices of single pods, whose names change when a pod is created anew."""
    devices = ("cali", "lxc", "veth")
    return "\n".join(sorted(line for line in text.splitlines() if not any(one in line for one in devices)))


def explained(scenario: Scenario, names: LabNames | None = None) -> str:
    """What the scenario does, as a shell script by which to do it by hand; with `names`, in the lab's own."""

    def filled(text: str) -> str:
        return names.filled(text) if names else text.replace("$$", "$")

    def where(step: Step) -> str:
        return names.target(step.on) if names else f"<{step.on}>"

    lines = [
        f"# {scenario.id}: {scenario.mechanism} at {scenario.place} ({scenario.selector}, {scenario.direction})",
        f"# {filled(scenario.says)}",
        f"# The flow: {scenario.edge}. Diagnose {scenario.edge.namespace} in a lab of --cni {scenario.cni} --nodes 3.",
        f"# Right: {_right(scenario, filled)}",
    ]
    if not names:
        lines.append("# Names as $SRC_IP are a lab's own: add --state DIR of one that runs, and they are filled in.")
    lines += [f"cnibot lab exec {where(step)} -- sh -c {shlex.quote(filled(step.do))}" for step in scenario.steps]
    for change in scenario.changes:
        body = filled(json.dumps(dict(change.body)))
        verb = (
            f"kubectl apply -n {change.namespace} -f - <<< {shlex.quote(body)}"
            if change.verb == "create"
            else f"kubectl patch -n {change.namespace} {change.resource} {change.name} --type merge "
            f"-p {shlex.quote(body)}"
        )
        lines.append(verb)
    for step in reversed(scenario.steps):
        back = f"# back: cnibot lab exec {where(step)} -- sh -c {shlex.quote(filled(step.undo))}"
        lines.append(back)
    return "\n".join(lines) + "\n"


def _right(scenario: Scenario, filled: Callable[[str], str]) -> str:
    truth = scenario.truth
    if scenario.is_decoy:
        return "healthy"
    parts = [" or ".join(truth.causes) or "no cause of ours", f"hop {' or '.join(truth.hops)}"]
    return ", ".join([*parts, f"names {' or '.join(map(filled, truth.words))}"] if truth.words else parts)


def check_names(scenario: Scenario, known: frozenset[str]) -> None:
    """Raises ConfigurationError when a command uses a name that no lab has."""
    names = LabNames(values=dict.fromkeys(known, "x"))
    try:
        for step in scenario.steps:
            for text in (step.do, step.undo):
                names.filled(text)
        for change in scenario.changes:
            names.changed(change)
        for word in (*scenario.truth.words, *scenario.truth.objects, scenario.says):
            names.filled(word)
    except (KeyError, ValueError) as error:
        raise ConfigurationError(f"The scenario {scenario.id}", f"uses the name {error}") from error
