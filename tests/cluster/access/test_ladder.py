"""The access ladder: RBAC really evaluated, each step down with the permission that is missing."""

from pathlib import Path

import pytest
from aiohttp import web

from bot.cluster.access.agent_pod import LABELS, agent_pod_spec
from bot.cluster.access.ladder import choose_rung, rung_needs
from bot.cluster.client.api import Api
from bot.domain.access import Need
from bot.domain.errors import UnauthorizedError
from bot.domain.facts import Rung
from bot.lab.cluster.apiserver.http.fault_injection import ApiFault
from tests.cluster.small_cluster import SmallCluster
from tests.contracts.scripted_server import hang, kubeconfig, serving, status


def rules(*needs: Need) -> list[dict[str, list[str]]]:
    return [{"apiGroups": [need.group], "resources": [need.resource], "verbs": [need.verb]} for need in needs]


@pytest.fixture
def home(cluster: SmallCluster) -> SmallCluster:
    cluster.namespace("cnibot", "shop")
    return cluster


async def test_an_administrator_gets_the_highest_rung(home: SmallCluster, api: Api):
    decision = await choose_rung(api, None, namespace="shop")

    assert decision.rung is Rung.AGENT
    assert decision.cannot == ()


@pytest.mark.parametrize("wanted", list(Rung))
async def test_never_higher_than_wanted(home: SmallCluster, api: Api, wanted: Rung):
    decision = await choose_rung(api, wanted, namespace="shop")

    assert decision.rung is wanted
    assert decision.why == f"looking by rung {wanted}, as asked"


async def test_without_rights_only_the_api_is_left(home: SmallCluster):
    async with Api.connect(home.kubeconfig("eve", [])) as api:
        decision = await choose_rung(api, None, namespace="shop")

    assert decision.rung is Rung.API
    assert decision.cannot == (
        (
            "Rung agent is not possible: not allowed to create/delete/list/watch pods in namespace cnibot or "
            "create/get pods/exec in namespace cnibot."
        ),
        "Rung cni-agent is not possible: not allowed to create/get pods/exec in namespace kube-system.",
        "Rung exec is not possible: not allowed to create/get pods/exec in namespace shop.",
    )


@pytest.mark.parametrize("rung", [Rung.EXEC, Rung.CNI_AGENT, Rung.AGENT])
async def test_the_declared_needs_of_a_rung_are_enough(home: SmallCluster, rung: Rung):
    kubeconfig = home.kubeconfig("dev", [])
    for place in ("shop", "kube-system", "cnibot"):
        needs = [need for need in rung_needs(rung, namespace="shop") if need.namespace in {"", place}]
        if rung is not Rung.CNI_AGENT or place == "kube-system":
            home.grant("dev", place, rules(*needs))
    async with Api.connect(kubeconfig) as api:
        assert (await choose_rung(api, None, namespace="shop")).rung is rung


async def test_older_servers_ask_for_get_and_newer_for_create(home: SmallCluster):
    kubeconfig = home.kubeconfig("dev", [])
    home.grant("dev", "shop", [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create"]}])
    async with Api.connect(kubeconfig) as api:
        assert (await choose_rung(api, None, namespace="shop")).rung is Rung.EXEC


async def test_a_missing_namespace_that_may_not_be_made(cluster: SmallCluster):
    needs = [need for need in rung_needs(Rung.AGENT) if need.verb != "create" or need.resource != "namespaces"]
    async with Api.connect(cluster.kubeconfig("dev", rules(*needs))) as api:
        decision = await choose_rung(api, None, namespace="default")

    assert decision.rung is Rung.CNI_AGENT
    assert decision.cannot == (
        "Rung agent is not possible: there is no namespace cnibot, and create namespaces is not allowed.",
    )


async def test_standing_agents_need_no_right_to_make_pods(home: SmallCluster):
    needs = [need for need in rung_needs(Rung.AGENT) if need.resource == "pods/exec" or need.verb == "list"]
    kubeconfig = home.kubeconfig("dev", rules(*needs))
    async with Api.connect(kubeconfig) as api:
        assert (await choose_rung(api, None, namespace="shop")).rung is not Rung.AGENT
        home.node("node-1")
        spec = agent_pod_spec("cnibot:lab") | {"nodeName": "node-1"}
        home.add("pods", "standing", "cnibot", metadata={"labels": LABELS}, spec=spec)
        await home.until(lambda: home.storage.get("pods", "standing", "cnibot")["status"]["phase"] == "Running")
        assert (await choose_rung(api, None, namespace="shop")).rung is Rung.AGENT


async def test_reviews_that_fail_step_down_with_the_reason(home: SmallCluster, api: Api):
    """One access review that the server cannot answer must not end the diagnosis."""
    home.api_faults.add(ApiFault(kind="internal-error", matches=lambda method, _: method == "POST"))
    decision = await choose_rung(api, Rung.EXEC, namespace="shop")

    assert decision.rung is Rung.API
    assert decision.cannot == (
        (
            f"Rung exec is not possible: The API server {home.url} failed (HTTP 500): Internal Server Error: "
            "etcdserver: request timed out."
        ),
    )


async def test_reviews_that_hang_step_down_at_the_deadline(home: SmallCluster, api: Api):
    home.api_faults.add(ApiFault(kind="hang"))
    decision = await choose_rung(api, None, namespace="shop", deadline_s=0.2)

    assert decision.rung is Rung.API
    assert decision.cannot == ("What is allowed was not known within 0.2 s.",)


async def test_credentials_that_expired_are_an_error(home: SmallCluster, api: Api):
    home.api_faults.add(ApiFault(kind="unauthorized"))
    with pytest.raises(UnauthorizedError):
        await choose_rung(api, None, namespace="shop")


async def test_the_deadline_fires_after_reviews_that_failed(tmp_path: Path):
    """Each review that fails ends a task group, which before Python 3.13 disarms the deadline around it."""
    asked = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal asked
        asked += 1
        if asked <= 6:  # those of the highest rung
            return await status(429, "TooManyRequests", **{"Retry-After": "60"})(request)
        return await hang(lambda: server)(request)

    async with serving(handler) as server, Api.connect(kubeconfig(tmp_path, server.url)) as api:
        decision = await choose_rung(api, None, namespace="shop", deadline_s=0.3)

    assert decision.rung is Rung.API
    assert decision.cannot[-1] == "What is allowed was not known within 0.3 s."
