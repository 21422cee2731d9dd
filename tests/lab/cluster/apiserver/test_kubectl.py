"""The real kubectl against the lab's server, where there is one."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.lab.cluster.apiserver import build
from tests.lab.cluster.apiserver.running import DEADLINE_S, Running, running
from tests.lab.cluster.controllers.instant_kubelet import instant_kubelet

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl here")

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: "nginx:1.27", ports: [{name: http, containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: http}]}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: calico-node, namespace: kube-system}
spec:
  selector: {matchLabels: {k8s-app: calico-node}}
  template:
    metadata: {labels: {k8s-app: calico-node}}
    spec: {hostNetwork: true, containers: [{name: calico-node, image: "calico/node:v3.28.0"}]}
"""


class Kubectl:
    def __init__(self, kubeconfig: Path, home: Path) -> None:
        self._environment = {"PATH": os.environ["PATH"], "HOME": str(home), "KUBECONFIG": str(kubeconfig)}
        self.error = ""

    async def __call__(self, *words: str, given: str = "", code: int = 0) -> str:
        """What kubectl prints; it must end with this code."""
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            "kubectl", *words, stdin=pipe, stdout=pipe, stderr=pipe, env=self._environment
        )
        output, error = await process.communicate(given.encode())
        self.error = error.decode()
        assert process.returncode == code, f"kubectl {' '.join(words)}: {self.error}"
        return output.decode()


@asynccontextmanager
async def cluster(directory: Path, home: Path) -> AsyncGenerator[tuple[Running, Kubectl]]:
    """Three nodes whose kubelets start everything at once, and a namespace shop."""
    async with (
        asyncio.timeout(2 * DEADLINE_S),
        running(directory, controllers=True) as api,
        instant_kubelet(api.storage),
    ):
        for number in (1, 2, 3):
            build.node(api.storage, f"node-{number}")
        build.namespace(api.storage)
        yield api, Kubectl(api.kubeconfig(home), home)


async def test_apply_get_and_describe(pki_directory: Path, tmp_path: Path) -> None:
    async with cluster(pki_directory, tmp_path) as (_, kubectl):
        applied = await kubectl("apply", "-f", "-", given=MANIFEST)
        await kubectl("rollout", "status", "deployment/web", "-n", "shop", "--timeout=20s")
        again = await kubectl("apply", "-f", "-", given=MANIFEST)
        pods = await kubectl("get", "pods", "-n", "shop", "-l", "app=web", "-o", "wide")
        described = await kubectl("describe", "pod", "-n", "shop", "-l", "app=web")
        everything = await kubectl("get", "all", "-A")

    assert applied.splitlines() == [
        "deployment.apps/web created",
        "service/web created",
        "daemonset.apps/calico-node created",
    ]
    assert [line.rpartition(" ")[2] for line in again.splitlines()] == ["unchanged"] * 3
    header, *rows = pods.splitlines()
    assert header.split()[:5] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
    assert [row.split()[1:3] for row in rows] == [["1/1", "Running"]] * 2
    assert "Successfully assigned shop/web-" in described
    assert "daemonset.apps/calico-node" in everything


async def test_rollout_undo_of_a_daemonset_renumbers_the_revision(pki_directory: Path, tmp_path: Path) -> None:
    async with cluster(pki_directory, tmp_path) as (api, kubectl):
        await kubectl("apply", "-f", "-", given=MANIFEST)
        target = ("daemonset/calico-node", "-n", "kube-system")
        await kubectl("rollout", "status", *target, "--timeout=20s")
        await kubectl("set", "image", *target, "calico-node=calico/node:v3.28.1")
        await kubectl("rollout", "status", *target, "--timeout=20s")
        await kubectl("rollout", "undo", *target)
        await kubectl("rollout", "status", *target, "--timeout=20s")
        history = await kubectl("rollout", "history", *target)
        images = {pod["spec"]["containers"][0]["image"] for pod in api.storage.list("pods", "kube-system")}

    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["2", "3"]
    assert images == {"calico/node:v3.28.0"}


async def test_scale_logs_exec_and_delete(pki_directory: Path, tmp_path: Path) -> None:
    async with cluster(pki_directory, tmp_path) as (api, kubectl):
        api.storage.create("pods", build.pod("a"), namespace="shop")
        api.kubelet.lines["a", "main"] = [b"one\n", b"two\n"]
        logs = await kubectl("logs", "-n", "shop", "a", "--tail=1")
        echoed = await kubectl("exec", "-i", "-n", "shop", "a", "--", "cat", given="hello\n")
        await kubectl("exec", "-n", "shop", "a", "--", "sh", "-c", "echo bad >&2; exit 3", code=3)
        failed = kubectl.error
        await kubectl("apply", "-f", "-", given=MANIFEST)
        await kubectl("scale", "-n", "shop", "deployment/web", "--replicas=3")
        await kubectl("rollout", "status", "deployment/web", "-n", "shop", "--timeout=20s")
        replicas = await kubectl("get", "deployment", "web", "-n", "shop", "-o", "jsonpath={.status.readyReplicas}")
        await kubectl("delete", "-n", "shop", "deployment", "web", "--timeout=20s")
        await kubectl("delete", "namespace", "shop", "--timeout=20s")
        left = json.loads(await kubectl("get", "namespaces", "-o", "json"))

    assert logs == "two\n"
    assert echoed == "hello\n"
    assert failed.splitlines() == ["bad", "command terminated with exit code 3"]
    assert replicas == "3"
    assert "shop" not in [item["metadata"]["name"] for item in left["items"]]


async def test_server_side_apply_tells_conflicts(pki_directory: Path, tmp_path: Path) -> None:
    change = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {replicas: 5}
"""
    async with cluster(pki_directory, tmp_path) as (api, kubectl):
        await kubectl("apply", "--server-side", "-f", "-", given=MANIFEST)
        await kubectl("apply", "--server-side", "--field-manager=other", "-f", "-", given=change, code=1)
        refused = kubectl.error
        forced = ("--field-manager=other", "--force-conflicts", "-f", "-")
        await kubectl("apply", "--server-side", *forced, given=change)
        deployment = api.storage.get("deployments.apps", "web", "shop")

    assert 'Apply failed with 1 conflict: conflict with "kubectl": .spec.replicas' in refused
    assert deployment["spec"]["replicas"] == 5
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "nginx:1.27"


async def test_auth_can_i_is_answered_by_the_roles(pki_directory: Path, tmp_path: Path) -> None:
    async with cluster(pki_directory, tmp_path) as (api, kubectl):
        build.grant(api.storage, [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}])
        as_reader = ("--as", "system:serviceaccount:shop:reader", "-n", "shop")
        assert (await kubectl("auth", "can-i", "list", "pods", *as_reader)) == "yes\n"
        assert (await kubectl("auth", "can-i", "delete", "pods", *as_reader, code=1)) == "no\n"
        await kubectl("get", "nodes", *as_reader, code=1)
        assert 'User "system:serviceaccount:shop:reader" cannot list resource "nodes"' in kubectl.error
        token = (await kubectl("create", "token", "reader", "-n", "shop")).strip()
        limited = Kubectl(api.kubeconfig(tmp_path, token), tmp_path)
        assert "reader" in await limited("auth", "whoami")
        await limited("get", "pods", "-n", "shop")


async def test_objects_that_kubectl_sends_as_protobuf(pki_directory: Path, tmp_path: Path) -> None:
    async with cluster(pki_directory, tmp_path) as (api, kubectl):
        in_shop = ("-n", "shop")
        await kubectl("create", "deployment", "x", *in_shop, "--image=y:1", "--replicas=2", "--port=80")
        await kubectl("create", "configmap", "c", *in_shop, "--from-literal=a=b")
        await kubectl("create", "secret", "generic", "s", *in_shop, "--from-literal=a=b")
        await kubectl("create", "service", "clusterip", "x", *in_shop, "--tcp=80:8080")
        await kubectl("create", "role", "r", *in_shop, "--verb=get", "--resource=pods")
        await kubectl("create", "rolebinding", "r", *in_shop, "--role=r", "--serviceaccount=shop:default")
        deployment = api.storage.get("deployments.apps", "x", "shop")
        stored = {
            name: api.storage.get(resource, name, "shop")
            for resource, name in (("configmaps", "c"), ("secrets", "s"), ("services", "x"))
        }
        role = api.storage.get("roles.rbac.authorization.k8s.io", "r", "shop")
        binding = api.storage.get("rolebindings.rbac.authorization.k8s.io", "r", "shop")

    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["template"]["spec"]["containers"][0]["ports"] == [
        {"containerPort": 80, "protocol": "TCP"}
    ]
    assert stored["c"]["data"] == {"a": "b"}
    assert stored["s"]["data"] == {"a": "Yg=="}
    assert stored["x"]["spec"]["ports"][0]["targetPort"] == 8080
    assert role["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "default", "namespace": "shop"}]


async def test_custom_resources(pki_directory: Path, tmp_path: Path) -> None:
    definition = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: ippools.crd.projectcalico.org}
spec:
  group: crd.projectcalico.org
  scope: Cluster
  names: {kind: IPPool, plural: ippools, singular: ippool}
  versions:
  - name: v1
    served: true
    storage: true
    additionalPrinterColumns: [{name: CIDR, type: string, jsonPath: .spec.cidr}]
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
    pool = """
apiVersion: crd.projectcalico.org/v1
kind: IPPool
metadata: {name: default}
spec: {cidr: 10.42.0.0/16}
"""
    async with cluster(pki_directory, tmp_path) as (_, kubectl):
        await kubectl("apply", "-f", "-", given=definition)
        await kubectl("wait", "--for=condition=established", "crd/ippools.crd.projectcalico.org", "--timeout=20s")
        await kubectl("apply", "-f", "-", given=pool)
        listed = await kubectl("get", "ippools")

    assert [line.split() for line in listed.splitlines()] == [["NAME", "CIDR"], ["default", "10.42.0.0/16"]]


async def test_drain_evicts_and_cordons(pki_directory: Path, tmp_path: Path) -> None:
    async with cluster(pki_directory, tmp_path) as (api, kubectl):
        await kubectl("apply", "-f", "-", given=MANIFEST)
        await kubectl("rollout", "status", "deployment/web", "-n", "shop", "--timeout=20s")
        await kubectl("drain", "node-1", "--ignore-daemonsets", "--timeout=20s")
        await kubectl("rollout", "status", "deployment/web", "-n", "shop", "--timeout=20s")
        nodes = await kubectl("get", "nodes")
        used = {pod["spec"]["nodeName"] for pod in api.storage.list("pods", "shop")}

    assert "Ready,SchedulingDisabled" in nodes.splitlines()[1]
    assert used == {"node-2", "node-3"}


async def test_explain_reads_the_openapi_document(pki_directory: Path, tmp_path: Path) -> None:
    async with cluster(pki_directory, tmp_path) as (_, kubectl):
        explained = await kubectl("explain", "pod.spec.nodeName")

    assert "FIELD: nodeName <string>" in explained
