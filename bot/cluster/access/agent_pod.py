"""The node agent's pod: the one description of it, from which on-demand pods are made and deploy/ is checked."""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from typing import Any

from bot.cluster.objects import Pod

DEFAULT_NAMESPACE = "cnibot"
DEFAULT_IMAGE = f"ghcr.io/cnibot/cnibot:{version('cnibot')}"

NAME = "cnibot-node-agent"
CONTAINER = "agent"
LABELS = {
    "app.kubernetes.io/name": NAME,
    "app.kubernetes.io/managed-by": "cnibot",
    "app.kubernetes.io/part-of": "cnibot",
}
ON_DEMAND_NAME = "cnibot-on-demand-agent"
"""The name label of pods made for one diagnosis.

Were it the DaemonSet's, its controller would adopt them, and delete them as surplus while its own pods still start.
"""
NAME_LABEL = "app.kubernetes.io/name"
AGENT_NAMES = (NAME, ON_DEMAND_NAME)
SELECTOR = f"{NAME_LABEL} in ({NAME},{ON_DEMAND_NAME}),app.kubernetes.io/managed-by=cnibot"
OF_CNIBOT = "app.kubernetes.io/part-of=cnibot"
"""Agents, and the bot's own pod."""
RUN_LABEL = "cnibot.io/run"
OWNER_ANNOTATION = "cnibot.io/owner"
EXPIRES_ANNOTATION = "cnibot.io/expires-at"

AGENT_COMMAND = ("cnibot-agent",)
"""What is run in it: a task on stdin, a report on stdout."""


_RUNS = re.compile(r"(?:docker-pullable://)?(?P<repository>[^@\s]+)@(?P<digest>sha256:[0-9a-f]{64})")


def by_digest(image: str, pods: Iterable[Pod]) -> str:
    """The image by the digest by which pods of ours run it; as it is where none does, or several by several.

    So a tag that somebody moves is not root on nodes before it is also the bot.
    """
    if "@" in image:
        return image
    repository = re.sub(r":[^:/]*$", "", image)
    found: set[str] = set()
    for pod in pods:
        named = {each.name for each in pod.spec.containers if each.image == image}
        ids = (_RUNS.fullmatch(each.image_id) for each in pod.status.container_statuses if each.name in named)
        found |= {one["digest"] for one in ids if one and one["repository"] == repository}
    return f"{repository}@{found.pop()}" if len(found) == 1 else image


def agent_pod_spec(image: str = DEFAULT_IMAGE) -> dict[str, Any]:
    """What every node agent's pod has, also the DaemonSet's in deploy/.

    It shares the node's network and processes and is privileged: it enters other pods' network namespaces by their
    PIDs, which takes SYS_ADMIN and SYS_PTRACE and no AppArmor or SELinux confinement; with those it is root on the
    node in all but name, so the manifest says so. It has no token, no ports, no volumes and a read-only file system.

    Its requests are zero: a kubelet evicts other pods to admit a critical pod whose requests do not fit.
    """
    return {
        "hostNetwork": True,
        "hostPID": True,
        "dnsPolicy": "Default",
        "serviceAccountName": "default",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": "system-node-critical",
        "tolerations": [{"operator": "Exists"}],
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "terminationGracePeriodSeconds": 1,
        "securityContext": {"runAsUser": 0, "runAsGroup": 0},
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "imagePullPolicy": "IfNotPresent",
                "command": ["sleep", "infinity"],
                "securityContext": {"privileged": True, "readOnlyRootFilesystem": True},
                "resources": {"requests": {"cpu": "0", "memory": "0"}, "limits": {"memory": "512Mi"}},
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
    }


def on_demand_pod(  # noqa: PLR0913 - each is one fact about the pod
    name: str, node: str, *, namespace: str, image: str, run: str, owner: str, ttl_s: int, now: datetime | None = None
) -> dict[str, Any]:
    """A pod for one diagnosis on one node.

    The node is named outright instead of by affinity: the scheduler would refuse a cordoned node and take its time on
    a busy cluster. It ends by itself after `ttl_s`, whatever becomes of us; what is left of it is swept later.
    """
    expires_at = (now or datetime.now(UTC)) + timedelta(seconds=ttl_s)
    spec = agent_pod_spec(image)
    del spec["nodeSelector"]  # the kubelet would check it, and some nodes lack the label
    spec |= {"nodeName": node, "restartPolicy": "Never", "activeDeadlineSeconds": ttl_s}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**LABELS, "app.kubernetes.io/name": ON_DEMAND_NAME, RUN_LABEL: run},
            "annotations": {
                OWNER_ANNOTATION: owner,
                EXPIRES_ANNOTATION: expires_at.isoformat(timespec="seconds").replace("+00:00", "Z"),
            },
        },
        "spec": spec,
    }


def agent_namespace(name: str = DEFAULT_NAMESPACE) -> dict[str, Any]:
    """The bot's own namespace, where privileged pods are admitted."""
    levels = {f"pod-security.kubernetes.io/{mode}": "privileged" for mode in ("enforce", "audit", "warn")}
    labels = {"app.kubernetes.io/name": "cnibot", "app.kubernetes.io/part-of": "cnibot", **levels}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
