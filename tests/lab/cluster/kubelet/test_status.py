"""Pod phases and conditions."""

from __future__ import annotations

from typing import Any

import pytest

from bot.lab.cluster.kubelet.status import ContainerStatus, State, conditions, phase


def container(state: State, *, code: int = 0, restarts: int = 0, ready: bool = False) -> ContainerStatus:
    return ContainerStatus(name="app", image="x", state=state, exit_code=code, restarts=restarts, is_ready=ready)


@pytest.mark.parametrize(
    ("policy", "statuses", "expected"),
    [
        ("Always", [container("waiting")], "Pending"),
        ("Always", [container("running"), container("waiting")], "Pending"),
        ("Always", [container("running")], "Running"),
        ("Always", [container("waiting", restarts=3)], "Running"),
        ("Always", [container("terminated")], "Running"),
        ("Never", [container("terminated")], "Succeeded"),
        ("Never", [container("terminated", code=1)], "Failed"),
        ("OnFailure", [container("terminated", code=1)], "Running"),
        ("OnFailure", [container("terminated")], "Succeeded"),
    ],
)
def test_phase(policy: str, statuses: list[ContainerStatus], expected: str) -> None:
    assert phase({"spec": {"restartPolicy": policy}}, statuses) == expected


def test_transition_time_stays_while_the_status_does() -> None:
    old = {"type": "Ready", "status": "False", "lastTransitionTime": "2020-01-01T00:00:00Z"}
    pod: dict[str, Any] = {"status": {"conditions": [old]}}

    still = conditions(pod, [container("running")], has_sandbox=True, initialized=True)
    now = conditions(pod, [container("running", ready=True)], has_sandbox=True, initialized=True)

    assert next(one for one in still if one["type"] == "Ready")["lastTransitionTime"] == "2020-01-01T00:00:00Z"
    assert next(one for one in now if one["type"] == "Ready")["lastTransitionTime"] != "2020-01-01T00:00:00Z"


def test_unready_containers_are_named() -> None:
    found = conditions({}, [container("running")], has_sandbox=True, initialized=True)

    assert next(one for one in found if one["type"] == "ContainersReady")["message"] == (
        "containers with unready status: [app]"
    )
