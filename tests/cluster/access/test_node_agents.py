"""Node agents: found, made, awaited, run, deleted and swept, against the lab's API server and the real agent."""

import asyncio
import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from bot.agent.report import Task
from bot.cluster.access.agent_pod import LABELS, agent_pod_spec, on_demand_pod
from bot.cluster.access.node_agents import node_agents, run_agent, silent_kubelets
from bot.cluster.client.api import Api
from bot.cluster.objects import Node
from bot.domain.errors import AgentError, DeadlineError, ForbiddenError
from bot.lab.cluster.apiserver.http.fault_injection import ApiFault
from tests.cluster.small_cluster import SmallCluster
from tests.contracts.scripted_server import kubeconfig, serving, status

IMAGE = "cnibot:lab"


def agents_of(api: Api, *nodes: str, start_deadline_s: float = 5, **options: Any):
    return node_agents(api, nodes, image=IMAGE, start_deadline_s=start_deadline_s, **options)


def pods(cluster: SmallCluster) -> list[str]:
    return [pod["metadata"]["name"] for pod in cluster.storage.list("pods", "cnibot")]


@pytest.fixture
def home(cluster: SmallCluster) -> SmallCluster:
    """Nodes, and our own namespace."""
    cluster.node("node-1", "node-2")
    cluster.namespace("cnibot")
    return cluster


async def test_agents_are_made_run_and_deleted(home: SmallCluster, api: Api):
    async with agents_of(api, "node-1", "node-2") as agents:
        assert sorted(agents) == ["node-1", "node-2"]
        for agent in agents.values():
            await agent.ready()
        report = await run_agent(api, agents["node-2"], Task(node="node-2", deadline_s=5), deadline_s=20)
        made = home.storage.list("pods", "cnibot")

    assert report.node == "node-2"
    assert any(link.name == "lo" for link in report.root.links)
    assert api.exec_calls == 1
    assert {pod["spec"]["nodeName"] for pod in made} == {"node-1", "node-2"}
    await home.until(lambda: pods(home) == [])


async def test_the_namespace_is_made_when_it_is_missing(cluster: SmallCluster, api: Api):
    cluster.node("node-1")
    async with agents_of(api, "node-1") as agents:
        await agents["node-1"].ready()

    labels = cluster.storage.get("namespaces", "cnibot")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"


async def test_a_running_daemon_set_is_used(home: SmallCluster, api: Api):
    home.add(
        "pods", "standing", "cnibot", metadata={"labels": LABELS}, spec=agent_pod_spec(IMAGE) | {"nodeName": "node-1"}
    )
    await home.until(lambda: home.storage.get("pods", "standing", "cnibot")["status"]["phase"] == "Running")
    async with agents_of(api, "node-1", "node-2") as agents:
        await agents["node-1"].ready()
        assert agents["node-1"].name == "standing"
        assert not agents["node-1"].is_on_demand
        assert len(pods(home)) == 2

    await home.until(lambda: pods(home) == ["standing"])


DIGEST, OTHER = (f"sha256:{digit * 64}" for digit in "12")
BOT = {"labels": {"app.kubernetes.io/name": "cnibot", "app.kubernetes.io/part-of": "cnibot"}}


def runs(home: SmallCluster, name: str, image_id: str, *, image: str = IMAGE, metadata: dict[str, Any] = BOT) -> None:
    """A pod in our namespace whose kubelet says what it runs."""
    home.pod("cnibot", name, "node-2", image=image, metadata=metadata)
    status = {"name": "main", "image": image, "imageID": image_id, "ready": True, "restartCount": 0}
    home.storage.patch("pods", name, "cnibot", {"status": {"containerStatuses": [status]}}, subresource="status")


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        ([f"cnibot@{DIGEST}"], f"cnibot@{DIGEST}"),
        ([f"docker-pullable://cnibot@{DIGEST}", f"cnibot@{DIGEST}"], f"cnibot@{DIGEST}"),
        ([f"cnibot@{DIGEST}", f"cnibot@{OTHER}"], IMAGE),  # an update is under way
        ([DIGEST], IMAGE),  # loaded by hand: the id is none of a registry's
        ([f"docker.io/library/import-2026@{DIGEST}"], IMAGE),
        ([f"evil@{DIGEST}"], IMAGE),
        (["", "cnibot@sha256:1"], IMAGE),
        ([], IMAGE),
    ],
)
async def test_a_tag_that_somebody_moves_is_not_root_on_nodes_before_it_is_also_the_bot(
    home: SmallCluster, api: Api, ids: list[str], expected: str
):
    for number, image_id in enumerate(ids):
        runs(home, f"bot-{number}", image_id)
    async with agents_of(api, "node-1"):
        (made,) = [pod for pod in home.storage.list("pods", "cnibot") if "cnibot-node-agent" in pod["metadata"]["name"]]

    assert made["spec"]["containers"][0]["image"] == expected


async def test_what_is_not_ours_or_another_image_says_nothing_of_the_agents(home: SmallCluster, api: Api):
    runs(home, "strangers", f"cnibot@{OTHER}", metadata={})
    runs(home, "older", f"cnibot@{OTHER}", image="cnibot:older")
    async with agents_of(api, "node-1"):
        (made,) = [pod for pod in home.storage.list("pods", "cnibot") if "cnibot-node-agent" in pod["metadata"]["name"]]

    assert made["spec"]["containers"][0]["image"] == IMAGE


async def test_a_digest_that_is_given_stays(home: SmallCluster, api: Api):
    runs(home, "bot", f"cnibot@{OTHER}", image=f"cnibot@{DIGEST}")
    async with node_agents(api, ["node-1"], image=f"cnibot@{DIGEST}", start_deadline_s=5):
        (made,) = [pod for pod in home.storage.list("pods", "cnibot") if "cnibot-node-agent" in pod["metadata"]["name"]]

    assert made["spec"]["containers"][0]["image"] == f"cnibot@{DIGEST}"


def waiting(reason: str, message: str) -> dict[str, Any]:
    status = {"name": "agent", "image": IMAGE, "imageID": "", "ready": False, "restartCount": 0}
    return {
        "phase": "Pending",
        "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [{**status, "state": {"waiting": {"reason": reason, "message": message}}}],
    }


STUCK: list[tuple[dict[str, Any], str]] = [
    (
        waiting("ErrImagePull", "dial tcp: lookup ghcr.io: i/o timeout"),
        (
            "The node agent on node-1 gave no report: its container with image cnibot:lab cannot start (ErrImagePull): "
            "dial tcp: lookup ghcr.io: i/o timeout."
        ),
    ),
    (
        {"phase": "Failed", "reason": "OutOfpods", "message": "Node didn't have enough resource: pods"},
        "The node agent on node-1 gave no report: its pod ended (OutOfpods): Node didn't have enough resource: pods.",
    ),
    (
        {},
        (
            "The node agent on node-1 gave no report: its pod did not start within 0.5 s (the kubelet has not "
            "taken it up: is the node Ready?)."
        ),
    ),
    (
        waiting("ContainerCreating", ""),
        (
            "The node agent on node-1 gave no report: its pod did not start within 0.5 s (its container waits "
            "(ContainerCreating))."
        ),
    ),
]


@pytest.mark.parametrize(("status", "said"), STUCK)
async def test_an_agent_that_never_starts_says_why(home: SmallCluster, api: Api, status: dict[str, Any], said: str):
    home.statuses["node-1"] = status
    async with agents_of(api, "node-1", "node-2", start_deadline_s=0.5) as agents:
        await agents["node-2"].ready()
        with pytest.raises(AgentError) as raised:
            await agents["node-1"].ready()

    assert str(raised.value) == said
    await home.until(lambda: pods(home) == [])


async def test_nodes_without_a_living_kubelet_are_not_waited_for(home: SmallCluster, api: Api):
    unknown = {"type": "Ready", "status": "Unknown", "reason": "NodeStatusUnknown"}
    home.storage.patch("nodes", "node-1", None, {"status": {"conditions": [unknown]}}, subresource="status")
    hopeless = silent_kubelets((await api.list_all("/api/v1/nodes", Node)).items)
    async with agents_of(api, "node-1", "node-2", start_deadline_s=60, hopeless=hopeless) as agents:
        await agents["node-2"].ready()
        with pytest.raises(AgentError) as raised:
            await agents["node-1"].ready()
        assert len(pods(home)) == 1

    assert str(raised.value) == (
        "The node agent on node-1 gave no report: its kubelet has not reported (NodeStatusUnknown)."
    )


async def test_a_pod_that_is_deleted_while_it_starts(home: SmallCluster, api: Api):
    home.statuses["node-1"] = {}
    async with agents_of(api, "node-1", start_deadline_s=10) as agents:
        home.storage.delete("pods", agents["node-1"].name, "cnibot")
        with pytest.raises(AgentError, match="its pod was deleted"):
            await agents["node-1"].ready()


async def test_a_watch_that_breaks_is_begun_again(home: SmallCluster, api: Api):
    home.statuses["node-1"] = {}
    watches: list[str] = []
    watched_again = asyncio.Event()

    def is_watch(_: str, path: str) -> bool:
        if "watch=1" not in path:
            return False
        watches.append(path)
        if len(watches) > 2:
            watched_again.set()
        return True

    home.api_faults.add(ApiFault(kind="drop", matches=is_watch, times=2))
    home.api_faults.add(ApiFault(kind="slow", matches=is_watch))
    async with agents_of(api, "node-1", start_deadline_s=10) as agents:
        async with asyncio.timeout(5):
            await watched_again.wait()
        running = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
        home.storage.patch("pods", agents["node-1"].name, "cnibot", {"status": running}, subresource="status")
        await agents["node-1"].ready()


async def test_pod_security_forbids(home: SmallCluster, api: Api):
    """A namespace that admits no privileged pods refuses each of them, with its reason."""
    home.api_faults.add(ApiFault(kind="forbidden", matches=lambda method, _: method == "POST"))
    async with agents_of(api, "node-1") as agents:
        with pytest.raises(AgentError) as raised:
            await agents["node-1"].ready()

    assert str(raised.value) == (
        "The node agent on node-1 gave no report: its pod could not be made: Not allowed to create pods in namespace "
        "cnibot: forbidden: disturbed by the test."
    )


async def test_without_the_right_to_list_nothing_is_begun(home: SmallCluster):
    async with Api.connect(home.kubeconfig("eve", [])) as api:
        with pytest.raises(ForbiddenError) as raised:
            async with agents_of(api, "node-1"):
                pass

    assert raised.value.permission == "list pods in namespace cnibot"


async def test_an_error_inside_is_raised_as_it_is_and_the_pods_are_deleted(home: SmallCluster, api: Api):
    with pytest.raises(DeadlineError):
        async with agents_of(api, "node-1"):
            raise DeadlineError("It did not end", 1)

    await home.until(lambda: pods(home) == [])


async def test_cancellation_deletes_the_pods(home: SmallCluster, api: Api):
    entered = asyncio.Event()

    async def diagnose() -> None:
        async with agents_of(api, "node-1", "node-2"):
            entered.set()
            await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(diagnose())
        await entered.wait()
        task.cancel()

    assert task.cancelled()
    await home.until(lambda: pods(home) == [])


async def test_leftovers_are_swept_and_living_ones_are_not(home: SmallCluster, api: Api):
    def left(name: str, *, ago: timedelta, phase: str = "") -> None:
        born = datetime.now(UTC) - ago
        pod = on_demand_pod(
            name, "node-1", namespace="cnibot", image=IMAGE, run="dead", owner="a@b pid 1", ttl_s=300, now=born
        )
        home.storage.create("pods", pod, namespace="cnibot")
        if phase:
            home.storage.patch("pods", name, "cnibot", {"status": {"phase": phase}}, subresource="status")

    left("expired", ago=timedelta(minutes=10))
    left("ended", ago=timedelta(seconds=10), phase="Failed")
    left("living", ago=timedelta(seconds=10))
    async with agents_of(api, "node-2"):
        pass

    await home.until(lambda: pods(home) == ["living"])


async def test_what_could_not_be_deleted_is_swept_by_the_next_diagnosis(home: SmallCluster, api: Api):
    """And not while it is still used."""
    refusing = home.api_faults.add(ApiFault(kind="internal-error", matches=lambda method, _: method == "DELETE"))
    async with agents_of(api, "node-1") as agents:
        await agents["node-1"].ready()
    (left,) = pods(home)
    assert refusing.hits
    home.api_faults.clear()

    async with agents_of(api, "node-1"), agents_of(api, "node-2") as others:
        await others["node-2"].ready()
        await home.until(lambda: left not in pods(home))
        assert len(pods(home)) == 2


@pytest.mark.parametrize(
    ("owner", "is_swept"),
    [
        (f"a@{socket.gethostname()} pid {2**22 + 1}", True),
        (f"a@{socket.gethostname()} pid {os.getpid()}", False),
        (f"a@elsewhere pid {2**22 + 1}", False),
        ("nonsense", False),
    ],
    ids=["a dead process", "a living process", "another machine", "not ours"],
)
async def test_what_a_killed_diagnosis_left_is_swept(home: SmallCluster, api: Api, *, owner: str, is_swept: bool):
    pod = on_demand_pod("left", "node-1", namespace="cnibot", image=IMAGE, run="dead", owner=owner, ttl_s=300)
    home.storage.create("pods", pod, namespace="cnibot")
    async with agents_of(api, "node-2"):
        pass

    await home.until(lambda: pods(home) == ([] if is_swept else ["left"]))


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("sh", "-c", "echo no such file >&2; exit 2"), "it failed with exit code 2: no such file"),
        (("sh", "-c", "echo hello"), "it printed something else than a report"),
        (("sh", "-c", """echo '{"schema": "cnibot.node-report/v9"}'"""), "use an image of our own version"),
        (("sh", "-c", """echo '{"schema": "cnibot.node-report/v1"}'"""), "it printed something else than a report"),
    ],
)
async def test_an_agent_that_gives_no_report(home: SmallCluster, api: Api, command: tuple[str, ...], said: str):
    home.kubelet.instead["cnibot-agent"] = command
    async with agents_of(api, "node-1") as agents:
        await agents["node-1"].ready()
        with pytest.raises(AgentError) as raised:
            await run_agent(api, agents["node-1"], Task(node="node-1"), deadline_s=10)

    assert said in str(raised.value)


async def test_an_image_without_the_agent(home: SmallCluster, api: Api):
    home.kubelet.absent.add("cnibot-agent")
    async with agents_of(api, "node-1") as agents:
        await agents["node-1"].ready()
        with pytest.raises(AgentError, match="its image has no program cnibot-agent: is it the right image"):
            await run_agent(api, agents["node-1"], Task(node="node-1"), deadline_s=10)


async def test_an_agent_that_hangs(home: SmallCluster, api: Api):
    home.kubelet.instead["cnibot-agent"] = ("sleep", "60")
    async with agents_of(api, "node-1") as agents:
        await agents["node-1"].ready()
        with pytest.raises(DeadlineError) as raised:
            await run_agent(api, agents["node-1"], Task(node="node-1"), deadline_s=0.2)

    assert "did not end within 0.2 s" in str(raised.value)


def test_the_pod_works_while_the_network_is_broken():
    pod = on_demand_pod("a", "node-1", namespace="cnibot", image=IMAGE, run="r", owner="o", ttl_s=300)
    spec = pod["spec"]

    assert spec["nodeName"] == "node-1"
    assert spec["hostNetwork"]
    assert spec["hostPID"]
    assert spec["dnsPolicy"] == "Default"
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == 300
    assert not spec["automountServiceAccountToken"]
    assert spec["priorityClassName"] == "system-node-critical"
    assert set(spec["containers"][0]["resources"]["requests"].values()) == {"0"}


async def test_where_critical_priorities_are_kept_by_quota_the_pod_goes_without(tmp_path: Path):
    """Some clouds admit critical pods in kube-system only."""
    made: list[dict[str, Any]] = []

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.method == "GET":
            return web.json_response({"metadata": {"name": "cnibot"}, "items": []})
        if request.method == "DELETE":
            return web.json_response({})
        pod = await request.json()
        if "priorityClassName" in pod["spec"]:
            scope = "[{PriorityClass In [system-node-critical system-cluster-critical]}]"
            message = f"insufficient quota to match these scopes: {scope}"
            return await status(403, "Forbidden", message)(request)
        made.append(pod)
        return web.json_response(pod, status=201)

    async with (
        serving(handler) as server,
        Api.connect(kubeconfig(tmp_path, server.url)) as api,
        agents_of(api, "node-1"),
    ):
        pass

    assert [pod["spec"]["nodeName"] for pod in made] == ["node-1"]
