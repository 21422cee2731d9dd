"""What works, asked by plain sockets in the lab's own pods: independent of everything that cnibot observes with."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from bot.aio.each import each
from bot.gym.generated import probe
from bot.gym.generated.draw import LOCAL, REMOTE
from bot.lab.cluster.control import LabClient

TRIES = 10
_PROGRAM = Path(probe.__file__).read_text(encoding="utf-8")
_ECHOES = {"seldon-scheduler"}
"""Servers that send back what they get: there large packets are tried both ways."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one check."""

    ok: int
    of: int
    slow: int = 0
    error: str = ""

    @property
    def works(self) -> bool:
        """All tries, and in good time."""
        return self.ok == self.of and not self.slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """How a scenario changed what works."""

    broken: tuple[str, ...]
    """Checks that worked before and do not now."""
    share: float
    """Of the tries of these checks, how many failed (1.0: all; slow ones count as failed)."""
    symptom: str
    """In the words of an alert: "connect: timeout"."""


def effect(before: Mapping[str, Answer], after: Mapping[str, Answer]) -> Effect | None:
    """What broke; None when everything that worked before still works."""
    broken = [name for name in {**before, **after} if before.get(name, FINE).works and not after.get(name, GONE).works]
    if not broken:
        return None
    answers = [after.get(name, GONE) for name in broken]
    failed = sum(one.of - one.ok + one.slow for one in answers)
    worst = max(
        broken, key=lambda name: (_RANK.get(name.split()[0], 0), after.get(name, GONE).of - after.get(name, GONE).ok)
    )
    return Effect(
        broken=tuple(broken),
        share=failed / sum(one.of for one in answers),
        symptom=f"{worst.split()[0]}: {after.get(worst, GONE).error or 'slow'}",
    )


GONE = Answer(ok=0, of=1, error="no pod")
"""What a check whose source pod is not there comes to."""
NO_NETWORK = Answer(ok=0, of=1, error="none")
FINE = Answer(ok=1, of=1)
"""What nobody could ask before: a pod that was not there."""
_RANK = {"network": 4, "connect": 3, "lookup": 2, "echo": 1}


def all_work(answers: Mapping[str, Answer]) -> bool:
    """Whether nothing fails."""
    return all(one.works for one in answers.values())


def checks(namespace: str, services: Mapping[str, str]) -> dict[str, list[dict[str, Any]]]:
    """What to ask, by workload: each flow that an application of the namespace needs."""
    found: dict[str, list[dict[str, Any]]] = {}
    for edge in (*REMOTE, LOCAL):
        if edge.namespace != namespace:
            continue
        way = f"{edge.source} {edge.service}:{edge.port}"
        address = {"host": services[edge.service], "port": edge.port}
        asked = found.setdefault(edge.source, [])
        asked.append({"id": f"connect {way}", "kind": "connect", "tries": TRIES, **address})
        asked.append({"id": f"lookup {way}", "kind": "lookup", "tries": 1, "host": edge.service})
        if edge.service in _ECHOES:
            asked.append({"id": f"echo {way}", "kind": "echo", "tries": 1, **address})
    return found


def self_checks(services: Sequence[Mapping[str, Any]], pods: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """Whether each workload reaches itself by the Service of its name, which takes rules of its own on the nodes."""
    names = tuple(pods)
    return {
        one["name"]: [
            {
                "id": f"connect {one['name']} itself:{port}",
                "kind": "connect",
                "tries": TRIES,
                "host": one["ip"],
                "port": port,
            }
            for port in one["tcp"]
        ]
        for one in services
        if one["ip"] not in {"", "None"} and any(name.startswith(f"{one['name']}-") for name in names)
    }


async def measure(
    client: LabClient, namespace: str, new_pods: Sequence[str] = (), *, with_itself: bool = False
) -> dict[str, Answer]:
    """Each check's answer now; of a new pod, whether it has a network."""
    status = await client.status()
    services = [one for one in status["services"] if one["namespace"] == namespace]
    attached = {one["name"] for one in status["networks"] if one["namespace"] == namespace}
    wanted = checks(namespace, {one["name"]: one["ip"] for one in services})
    for workload, asked in self_checks(services, attached).items() if with_itself else ():
        wanted.setdefault(workload, []).extend(asked)
    pods = [
        (one["name"], asked)
        for workload, asked in wanted.items()
        for one in status["networks"]
        if one["namespace"] == namespace and one["name"].startswith(f"{workload}-") and one["name"] not in new_pods
    ]

    async def ask(pod: tuple[str, Sequence[Mapping[str, Any]]]) -> dict[str, Answer]:
        name, asked = pod
        argv = [sys.executable, "-IS", "-c", _PROGRAM, json.dumps(asked)]
        result = await client.exec(f"{namespace}/{name}", argv)
        if result.code != 0:
            return {str(one["id"]): GONE for one in asked}
        return msgspec.json.decode(result.out, type=dict[str, Answer])

    answers = {str(one["id"]): GONE for asked in wanted.values() for one in asked}
    answers |= {f"network {name}": FINE if name in attached else NO_NETWORK for name in new_pods}
    for found in await each(pods, ask):
        answers |= found
    return answers
