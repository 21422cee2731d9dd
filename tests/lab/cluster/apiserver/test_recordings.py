"""The story that was told to a real 1.36.2 server, told to the lab's: every answer must be alike."""

import asyncio
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from yarl import URL

from bot.lab.cluster.controllers import revisions
from tests.lab.cluster.apiserver import recordings
from tests.lab.cluster.apiserver.running import DEADLINE_S, Running, running

Body = Any


class ScriptedNames(random.Random):
    """Randomness that gives generated names the endings of the recording."""

    def __init__(self, endings: Sequence[str]) -> None:
        super().__init__(1)
        self._endings = list(endings)

    def choices(self, population: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if kwargs.get("k") == 5 and self._endings:
            return list(self._endings.pop(0))
        return super().choices(population, *args, **kwargs)


DAEMON_PODS = ["4wlnx", "dae02", "dae03"]
WEB_PODS = ["6g5mb", "pjq87", "xzjqj"]
ADDRESSES = {"6g5mb": "10.42.1.8", "pjq87": "10.42.2.9", "xzjqj": "10.42.3.10"}


class Story:
    """Sends the recorded requests and compares the answers."""

    def __init__(self, api: Running) -> None:
        self.api = api
        self.values = {"server": api.url.removeprefix("https://")}
        self.token: str | None = None
        self.seen: list[str] = []
        self.different: list[str] = []

    async def tell(self, name: str, *, query: dict[str, str] | None = None, body: Body = None) -> Body:
        """One exchange; then the controllers come to rest."""
        recording = recordings.load(name, self.values)
        status, content_type, answer = await self.send(recording["request"], query=query, body=body)
        self.seen.append(name)
        self.compare(name, (recording["status"], recording["content_type"]), (status, content_type))
        self.compare(name, recordings.alike(recording["body"]), recordings.alike(answer))
        await self.api.settled()
        return answer

    async def send(
        self, request: dict[str, Any], *, query: dict[str, str] | None = None, body: Body = None
    ) -> tuple[int, str, Body]:
        headers = {"Accept": request["accept"]}
        data = request.get("body") if body is None else body
        if "content_type" in request:
            headers["Content-Type"] = request["content_type"]
        if self.token is not None:
            headers["Authorization"] = f"Bearer {self.token}"
        path, _, text = request["path"].partition("?")
        for key, value in (query or {}).items():
            text = "&".join(part if not part.startswith(f"{key}=") else f"{key}={value}" for part in text.split("&"))
        content = data if isinstance(data, str) or data is None else json.dumps(data)
        url = f"{path}?{text}" if text else path
        async with self.api.session.request(
            request["method"], URL(url, encoded=True), data=content, headers=headers
        ) as response:
            raw = await response.text()
            kind = response.headers["Content-Type"]
            if "json" not in kind:
                return response.status, kind, raw
            if "watch=1" in url:
                return response.status, kind, [json.loads(line) for line in raw.splitlines()]
            return response.status, kind, json.loads(raw)

    async def watch(self, name: str, query: dict[str, str]) -> None:
        """A watch, during which an object is made, changed and deleted."""
        recording = recordings.load(name)
        request = recording["request"]
        path, _, text = request["path"].partition("?")
        parts = dict(part.split("=") for part in text.split("&")) | query
        lines: list[dict[str, Any]] = []
        async with self.api.session.get(path, params=parts, headers={"Accept": request["accept"]}) as response:
            self.act()
            async for line in response.content:
                lines.append(json.loads(line))
                if lines[-1]["type"] == "BOOKMARK" and lines[-2]["type"] == "DELETED":
                    break  # all that was recorded has been told
        self.seen.append(name)
        for each in (*lines, *recording["body"]):
            each["object"]["metadata"].pop("managedFields", None)
        self.compare(name, *(recordings.alike(_without_progress(each)) for each in (recording["body"], lines)))
        if lines[-1]["type"] != "BOOKMARK":
            self.different.append(f"{name}: no bookmark")

    def act(self) -> None:
        storage = self.api.storage
        storage.create("configmaps", {"metadata": {"name": "w"}}, namespace="shop")
        storage.patch("configmaps", "w", "shop", {"data": {"k": "v"}})
        storage.delete("configmaps", "w", "shop")

    def compare(self, name: str, expected: Body, actual: Body) -> None:
        for difference in differences(expected, actual):
            self.different.append(f"{name}: {difference}")

    def run_pods(self) -> None:
        """What the recording did by hand on nodes without a kubelet."""
        for pod in self.api.storage.list("pods"):
            if pod["status"]["phase"] == "Pending":
                self._run(pod)

    def _run(self, pod: dict[str, Any]) -> None:
        name, number = pod["metadata"]["name"], pod["spec"]["nodeName"][-1]
        host = f"192.168.77.1{number}"
        address = host if pod["spec"].get("hostNetwork") else ADDRESSES.get(name[-5:], f"10.42.{number}.77")
        moment = "2026-11-22T19:00:05Z"
        conditions = [
            {"type": kind, "status": "True", "lastProbeTime": None, "lastTransitionTime": moment}
            for kind in ("PodScheduled", "Initialized", "ContainersReady", "Ready")
        ]
        containers = [
            {
                "name": container["name"],
                "state": {"running": {"startedAt": moment}},
                "lastState": {},
                "ready": True,
                "restartCount": 0,
                "image": container["image"],
                "imageID": "",
                "started": True,
            }
            for container in pod["spec"]["containers"]
        ]
        status = {
            "phase": "Running",
            "conditions": conditions,
            "hostIP": host,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "startTime": moment,
            "containerStatuses": containers,
        }
        self.api.storage.patch(
            "pods",
            name,
            pod["metadata"]["namespace"],
            {"status": status},
            subresource="status",
            manager="Python-urllib",
        )

    async def replace_daemon_pods(self) -> None:
        """Let a DaemonSet's rollout go to its end: the kubelets stop what is to stop and start what is new."""
        for _ in range(6):
            for pod in self.api.storage.list("pods", "kube-system"):
                if pod["metadata"].get("deletionTimestamp"):
                    self.api.storage.delete("pods", pod["metadata"]["name"], "kube-system", grace_period_s=0)
            await self.api.settled()
            self.run_pods()
            await self.api.settled()


def _without_progress(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events without the bookmarks that only tell how far the server has come, at times of its own."""
    return [line for line in lines if line["type"] != "BOOKMARK" or "annotations" in line["object"]["metadata"]]


def differences(expected: Body, actual: Body, path: str = "") -> list[str]:
    """Where two values differ, at most a few lines each."""
    if isinstance(expected, dict) and isinstance(actual, dict):
        return _in_objects(cast("dict[str, Any]", expected), cast("dict[str, Any]", actual), path)
    if isinstance(expected, list) and isinstance(actual, list):
        pairs = list(zip(cast("list[Any]", expected), cast("list[Any]", actual), strict=False))
        if len(pairs) == len(cast("list[Any]", expected)) == len(cast("list[Any]", actual)):
            return [line for at, pair in enumerate(pairs) for line in differences(*pair, f"{path}[{at}]")]
    return [] if expected == actual else [f"{path}: {expected!r:.300} became {actual!r:.300}"]


def _in_objects(expected: dict[str, Any], actual: dict[str, Any], path: str) -> list[str]:
    found: list[str] = []
    for key in sorted({*expected, *actual}):
        if key not in actual:
            found.append(f"{path}.{key} is missing: {expected[key]!r:.200}")
        elif key not in expected:
            found.append(f"{path}.{key} is too much: {actual[key]!r:.200}")
        else:
            found += differences(expected[key], actual[key], f"{path}.{key}")
    return found


async def begin(story: Story) -> None:
    for name in (
        "001-version",
        "002-api-versions",
        "004-aggregated-discovery-api",
        "005-apis-apps-v1",
        "006-api-v1",
        "007-apis-discovery-v1",
    ):
        await story.tell(name)
    await story.tell("009-livez")
    await story.tell("010-readyz")
    await story.tell("011-create-namespace")
    await story.tell("012-create-namespace-conflict")
    await story.tell("013-create-node")
    await story.tell("014-patch-node-status")
    for number in ("2", "3"):
        for name in ("013-create-node", "014-patch-node-status"):
            text = json.dumps(recordings.load(name)["request"]).replace("node-1", f"node-{number}")
            text = text.replace("10.42.1.0", f"10.42.{number}.0").replace("77.11", f"77.1{number}")
            status, _, _ = await story.send(json.loads(text))
            assert status in {200, 201}
            await story.api.settled()


async def workloads(story: Story) -> None:
    await story.tell("015-create-daemonset")
    await story.tell("016-create-deployment")
    await story.tell("017-create-service")
    storage = story.api.storage
    (revision,) = storage.list(revisions.RESOURCE)
    story.values["revision1"] = revision["metadata"]["labels"][revisions.HASH]
    (replica_set,) = storage.list("replicasets.apps")
    story.values["rs"] = replica_set["metadata"]["labels"]["pod-template-hash"]
    story.run_pods()
    await story.api.settled()


async def lists(story: Story) -> None:
    await story.tell("018-list-pods")
    first = await story.tell("019-list-pods-limit-1")
    second = await story.tell("020-list-pods-continue", query={"continue": first["metadata"]["continue"]})
    story.compare("020", recordings.token_start(second["metadata"]["continue"])[-5:], "xzjqj")
    for name in (
        "021-list-pods-bad-continue",
        "022-list-pods-field-selector-node",
        "023-list-pods-label-selector-set",
        "024-list-pods-bad-field-selector",
        "025-list-pods-bad-label-selector",
        "026-list-pods-table",
        "027-list-pods-partial-metadata",
        "028-get-pod",
        "029-get-pod-404",
        "030-get-namespace-404",
        "031-list-in-missing-namespace",
        "032-unknown-resource-404",
    ):
        await story.tell(name)
    story.token = "wrong"
    await story.tell("033-unauthorized-401")
    story.token = None
    for name in (
        "034-endpointslices",
        "035-nodes",
        "036-get-daemonset",
        "037-controllerrevisions-1",
        "038-replicasets",
        "039-events",
        "040-events-v1",
    ):
        await story.tell(name)


async def rollout(story: Story) -> None:
    await story.tell("041-patch-daemonset-image-strategic")
    found = story.api.storage.list(revisions.RESOURCE)
    newest = max(found, key=lambda each: each["revision"])
    story.values["revision2"] = newest["metadata"]["labels"][revisions.HASH]
    await story.replace_daemon_pods()
    await story.tell("042-controllerrevisions-2")
    await story.tell("043-undo-daemonset-dry-run")
    await story.tell("044-undo-daemonset-stale-resourceversion-409")
    body = recordings.load("045-undo-daemonset")["request"]["body"]
    live = story.api.storage.get("daemonsets.apps", "calico-node", "kube-system")
    body["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"]
    await story.tell("045-undo-daemonset", body=body)
    await story.tell("046-daemonset-mid-rollout")
    await story.replace_daemon_pods()
    await story.tell("047-controllerrevisions-3-undo-reuses-revision")
    await story.tell("048-daemonset-after-rollout")


async def writes(story: Story) -> None:
    for number in range(49, 65):
        await story.tell(recordings.numbered(number))
    await story.tell("065-scale-get")
    await story.tell("066-scale-patch")
    for number in range(67, 73):
        if number == 72:
            story.api.storage.create("serviceaccounts", {"metadata": {"name": "viewer"}}, namespace="shop")
            story.token = (await story.tell(recordings.numbered(number)))["status"]["token"]
        else:
            await story.tell(recordings.numbered(number))


async def rights(story: Story) -> None:
    for number in range(73, 80):
        await story.tell(recordings.numbered(number))
    story.token = None


async def watches(story: Story) -> None:
    story.values["now"] = str(story.api.storage.revision)
    await story.watch("080-watch-configmaps", {"resourceVersion": story.values["now"], "timeoutSeconds": "3"})
    await story.watch("082-watch-list-streaming", {"timeoutSeconds": "3"})


async def custom_resources(story: Story) -> None:
    for number in range(83, 89):
        await story.tell(recordings.numbered(number))


async def lost_history(story: Story) -> None:
    for resource in ("configmaps", "leases.coordination.k8s.io"):
        story.api.storage.collection(resource).compact(story.api.storage.revision)
    await story.tell("089-list-exact-expired-410")
    await story.tell("090-watch-too-old-410")


@pytest.fixture
def endings() -> list[str]:
    return [*DAEMON_PODS, *WEB_PODS, "hhnqw"]


async def test_the_lab_answers_like_a_real_server(pki_directory: Path, endings: list[str]) -> None:
    async with (
        asyncio.timeout(DEADLINE_S),
        running(pki_directory, controllers=True, rng=ScriptedNames(endings)) as api,
    ):
        await api.settled()
        story = Story(api)
        for part in (begin, workloads, lists, rollout, writes, rights, watches, custom_resources, lost_history):
            await part(story)

    assert story.different == []
    assert {*recordings.names()} - {*story.seen} == {"003-apis-legacy"}
