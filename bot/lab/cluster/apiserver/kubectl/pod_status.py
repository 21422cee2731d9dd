"""The words in which kubectl sums up a pod: `1/1`, `Running`, `CrashLoopBackOff`, `2 (14s ago)`."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bot.lab.cluster.apiserver.kubectl.durations import human
from bot.lab.cluster.apiserver.parts import condition_of, items_of, sub
from bot.lab.cluster.apiserver.timestamps import parse

Obj = Mapping[str, Any]
NONE = "<none>"


def _statuses(obj: Obj, key: str = "containerStatuses") -> list[Obj]:
    return items_of(sub(obj, "status"), key)


def pod_ready(obj: Obj) -> str:
    """How many of its containers are ready."""
    ready = sum(1 for status in _statuses(obj) if status.get("ready") and "running" in sub(status, "state"))
    return f"{ready}/{len(items_of(obj['spec'], 'containers'))}"


def pod_state(obj: Obj) -> str:
    """Its phase, or better the reason why it is not simply that."""
    status = sub(obj, "status")
    reason = status.get("reason") or status.get("phase") or "Unknown"
    if condition_of(obj, "PodScheduled").get("reason") == "SchedulingGated":
        reason = "SchedulingGated"
    reason = _init_reason(obj) or _containers_reason(obj, reason)
    if obj["metadata"].get("deletionTimestamp"):
        return "Unknown" if status.get("reason") == "NodeLost" else "Terminating"
    return reason


def _init_reason(obj: Obj) -> str:
    total = len(items_of(obj["spec"], "initContainers"))
    for index, status in enumerate(_statuses(obj, "initContainerStatuses")):
        state = sub(status, "state")
        ended, waiting = state.get("terminated"), state.get("waiting")
        if ended and ended.get("exitCode") == 0:
            continue
        if ended:
            return f"Init:{ended.get('reason') or 'ExitCode:' + str(ended.get('exitCode'))}"
        if waiting and waiting.get("reason") not in {None, "", "PodInitializing"}:
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return ""


def _containers_reason(obj: Obj, reason: str) -> str:
    running = False
    for status in reversed(_statuses(obj)):
        state = sub(status, "state")
        if why := sub(state, "waiting").get("reason"):
            reason = why
        elif ended := state.get("terminated"):
            code = f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"
            reason = ended.get("reason") or code
        elif status.get("ready") and "running" in state:
            running = True
    if reason == "Completed" and running:
        ready = any(c["type"] == "Ready" and c["status"] == "True" for c in items_of(obj["status"], "conditions"))
        return "Running" if ready else "NotReady"
    return reason


def pod_restarts(obj: Obj) -> str:
    """The restarts of its containers, and how long ago the last one was."""
    count = sum(status.get("restartCount", 0) for status in _statuses(obj))
    ends = [sub(sub(status, "lastState"), "terminated").get("finishedAt") for status in _statuses(obj)]
    moments = [parse(end) for end in ends if end]
    if not count or not moments:
        return str(count)
    return f"{count} ({human((datetime.now(UTC) - max(moments)).total_seconds())} ago)"
