"""A pod's status, computed from what its kubelet knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from bot.lab.cluster.names import Json

State = Literal["waiting", "running", "terminated"]


def timestamp() -> str:
    """Now, as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(slots=True, kw_only=True)
class ContainerStatus:
    """One container as its kubelet sees it."""

    name: str
    image: str
    state: State = "waiting"
    reason: str = "ContainerCreating"
    message: str = ""
    container_id: str = ""
    started_at: str = ""
    finished_at: str = ""
    exit_code: int = 0
    last: Json = field(default_factory=dict[str, object])
    restarts: int = 0
    is_ready: bool = False
    is_started: bool = False

    def as_json(self) -> Json:
        """The API's ContainerStatus."""
        return {
            "name": self.name,
            "image": self.image,
            "imageID": self.image if self.container_id else "",
            "containerID": self.container_id,
            "ready": self.is_ready,
            "started": self.is_started,
            "restartCount": self.restarts,
            "state": self.state_json(),
            "lastState": self.last,
        }

    def state_json(self) -> Json:
        """The API's ContainerState."""
        words = {key: value for key, value in (("reason", self.reason), ("message", self.message)) if value}
        match self.state:
            case "waiting":
                return {"waiting": words}
            case "running":
                return {"running": {"startedAt": self.started_at}}
            case "terminated":
                times = {"startedAt": self.started_at, "finishedAt": self.finished_at}
                ended = {"exitCode": self.exit_code, **words, **times, "containerID": self.container_id}
                return {"terminated": ended}


def phase(pod: Json, statuses: Sequence[ContainerStatus]) -> str:
    """Pending until every container has started once; Succeeded or Failed when none will run again."""
    policy = pod["spec"].get("restartPolicy", "Always")
    if all(one.state == "terminated" for one in statuses) and policy != "Always":
        failed = any(one.exit_code for one in statuses)
        return "Running" if failed and policy == "OnFailure" else ("Failed" if failed else "Succeeded")
    if any(one.state == "waiting" and not one.last and not one.restarts for one in statuses):
        return "Pending"
    return "Running"


def conditions(pod: Json, statuses: Sequence[ContainerStatus], *, has_sandbox: bool, initialized: bool) -> list[Json]:
    """The five conditions; a transition time is kept while its status stays."""
    unready = [one.name for one in statuses if not one.is_ready]
    sentence = f"containers with unready status: [{' '.join(unready)}]"
    ready: tuple[bool, str, str] = (not unready, "", "") if not unready else (False, "ContainersNotReady", sentence)
    wanted: Mapping[str, tuple[bool, str, str]] = {
        "PodReadyToStartContainers": (has_sandbox, "", ""),
        "Initialized": (initialized, "", "") if initialized else (False, "ContainersNotInitialized", ""),
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": (True, "", ""),
    }
    known: dict[str, Json] = {one["type"]: one for one in pod.get("status", {}).get("conditions") or ()}
    made: list[Json] = []
    for kind, (is_true, reason, message) in wanted.items():
        status = "True" if is_true else "False"
        old = known.get(kind)
        since = old["lastTransitionTime"] if old and old["status"] == status else timestamp()
        condition: Json = {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": since}
        condition |= {key: value for key, value in (("reason", reason), ("message", message)) if value}
        made.append(condition)
    return made
