"""What a plan makes besides Cilium: a test pod on each node, and the Job that takes Cilium's configuration off a node.

All of them run cnibot's own image, which is on the nodes wherever they are inspected by node agents.
"""

from collections.abc import Sequence
from typing import Any

from bot.cluster.client.paths import api_path
from bot.domain.plan import Create, Step, Target
from bot.remediation.cilium.values import CONF_DIRECTORY, CONF_FILE, NAMESPACE

TEST_NAMESPACE = "cnibot-test-pods"
_PORT = 8080
_JOB_S = 120
_NOBODY = 65534


def target_of_new(kind: str, plural: str, name: str, *, group: str = "", namespace: str = "") -> Target:
    """An object that a plan is to make."""
    path = api_path(plural, group=group, namespace=namespace, name=name)
    return Target(kind=kind, path=path, name=name, namespace=namespace, uid="", resource_version="")


def test_namespace() -> Step:
    """The step that makes the namespace of the test pods."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    target = target_of_new("Namespace", "namespaces", TEST_NAMESPACE)
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": TEST_NAMESPACE, "labels": labels}}
    return Step(title=f"make the namespace {TEST_NAMESPACE}", do=Create(target=target, manifest=manifest))


def test_pods(nodes: Sequence[str], image: str) -> tuple[Step, ...]:
    """The steps that start a pod on each node."""
    return tuple(test_pod(number, node, image) for number, node in enumerate(nodes, 1))


def test_pod(number: int, node: str, image: str) -> Step:
    """The step that starts one: it listens on a port, and the kubelet asks whether it answers."""
    name = f"test-{number}"
    container: dict[str, Any] = {
        "name": "listener",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-m", "http.server", str(_PORT), "--directory", "/var/empty"],
        "ports": [{"containerPort": _PORT}],
        "readinessProbe": {"tcpSocket": {"port": _PORT}, "periodSeconds": 2},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }
    spec: dict[str, Any] = {
        "nodeName": node,
        "tolerations": [{"operator": "Exists"}],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _NOBODY,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    metadata = {"name": name, "namespace": TEST_NAMESPACE, "labels": {"app": "cnibot-test"}}
    target = target_of_new("Pod", "pods", name, namespace=TEST_NAMESPACE)
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    return Step(title=f"start a test pod on {node}", do=Create(target=target, manifest=manifest))


def clearing_job(number: int, node: str, image: str) -> Create:
    """The Job that deletes Cilium's configuration file from a node, and can touch nothing else there."""
    return _conf_job(f"cnibot-clear-cilium-{number}", node, image, ["rm", "-f", f"/cni/{CONF_FILE}"])


_RESTORING = f"""set -eu
cd /cni
is_there=
for file in *.cilium_bak; do
  test -e "$file" && mv "$file" "${{file%.cilium_bak}}"
done
for file in *.conf *.conflist *.json; do
  test "$file" != {CONF_FILE} && test -e "$file" && is_there=yes
done
if test -z "$is_there"; then
  echo "no configuration of another CNI is here: Cilium's stays"
  exit 3
fi
rm -f {CONF_FILE}
sleep 2
test ! -e {CONF_FILE}
"""
"""The other CNI's first, so that there is one at any moment. An agent that keeps its own has put it back by the end."""


def restoring_job(number: int, node: str, image: str) -> Create:
    """The Job that puts the other CNI's configuration back on a node. It fails where there is none."""
    return _conf_job(f"cnibot-restore-cni-{number}", node, image, ["sh", "-c", _RESTORING])


def _conf_job(name: str, node: str, image: str, command: Sequence[str]) -> Create:
    """A Job on a node that sees the directory of CNI configuration at /cni, and nothing else of the node."""
    container: dict[str, Any] = {
        "name": "cni",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": list(command),
        "volumeMounts": [{"name": "cni", "mountPath": "/cni"}],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
    }
    spec: dict[str, Any] = {
        "nodeName": node,
        "hostNetwork": True,  # else it would need an address of the CNI that is being taken away
        "restartPolicy": "Never",
        "tolerations": [{"operator": "Exists"}],
        "automountServiceAccountToken": False,
        "securityContext": {"runAsUser": 0, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [{"name": "cni", "hostPath": {"path": CONF_DIRECTORY, "type": "Directory"}}],
    }
    target = target_of_new("Job", "jobs", name, group="batch", namespace=NAMESPACE)
    manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"backoffLimit": 2, "activeDeadlineSeconds": _JOB_S, "template": {"spec": spec}},
    }
    return Create(target=target, manifest=manifest)
