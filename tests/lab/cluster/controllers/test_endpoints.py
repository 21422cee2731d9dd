"""EndpointSlices and Endpoints: which pods a Service's traffic reaches."""

from typing import Any

from bot.lab.cluster.controllers.endpoints import SERVICE_NAME, SLICES
from tests.lab.cluster.apiserver import build
from tests.lab.cluster.controllers import instant_kubelet
from tests.lab.cluster.controllers.cluster import Cluster, cluster

Obj = dict[str, Any]


def slices(lab: Cluster, name: str = "web") -> list[Obj]:
    return lab.storage.list(SLICES, "shop", labels=f"{SERVICE_NAME}={name}")


def endpoints(lab: Cluster, name: str = "web") -> dict[str, Obj]:
    """Conditions by pod."""
    return {
        endpoint["targetRef"]["name"]: endpoint["conditions"]
        for each in slices(lab, name)
        for endpoint in each["endpoints"]
    }


def start(lab: Cluster, name: str, *, ready: bool = True, **spec: Any) -> None:
    pod = lab.storage.create("pods", build.pod(name, **spec), namespace="shop")
    instant_kubelet.run(lab.storage, pod, ready=ready)


async def test_a_ready_pod_is_an_endpoint_with_its_named_port() -> None:
    async with cluster() as lab:
        lab.storage.create("services", build.service(), namespace="shop")
        await lab.settle()
        (empty,) = slices(lab)
        start(lab, "a")
        await lab.settle()
        (full,) = slices(lab)
        legacy = lab.storage.get("endpoints", "web", "shop")
        address = lab.pods()[0]["status"]["podIP"]

    assert empty["endpoints"] == []
    assert full["metadata"]["name"] == empty["metadata"]["name"]
    assert full["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    assert full["endpoints"][0]["addresses"] == [address]
    assert full["endpoints"][0]["nodeName"] == "node-1"
    assert [each["ip"] for each in legacy["subsets"][0]["addresses"]] == [address]


async def test_readiness_and_termination_are_told_apart() -> None:
    async with cluster() as lab:
        lab.storage.create("services", build.service(), namespace="shop")
        start(lab, "ready")
        start(lab, "unready", ready=False)
        start(lab, "ending")
        lab.storage.delete("pods", "ending", "shop")
        await lab.settle()
        found = endpoints(lab)
        legacy = lab.storage.get("endpoints", "web", "shop")["subsets"][0]

    assert found == {
        "ready": {"ready": True, "serving": True, "terminating": False},
        "unready": {"ready": False, "serving": False, "terminating": False},
        "ending": {"ready": False, "serving": True, "terminating": True},
    }
    assert len(legacy["addresses"]) == len(legacy["notReadyAddresses"]) == 1


async def test_not_ready_addresses_can_be_published() -> None:
    async with cluster() as lab:
        lab.storage.create("services", build.service(publishNotReadyAddresses=True), namespace="shop")
        start(lab, "unready", ready=False)
        await lab.settle()

        assert endpoints(lab)["unready"]["ready"] is True


async def test_a_headless_service_is_marked() -> None:
    async with cluster() as lab:
        lab.storage.create("services", build.service(clusterIP="None"), namespace="shop")
        start(lab, "a", hostname="a", subdomain="web")
        await lab.settle()
        (only,) = slices(lab)

    assert only["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    assert only["endpoints"][0]["hostname"] == "a"


async def test_a_wrong_port_name_leaves_the_pod_out() -> None:
    async with cluster() as lab:
        ports = [{"name": "http", "port": 80, "targetPort": "htpt"}]
        lab.storage.create("services", build.service(ports=ports), namespace="shop")
        start(lab, "a")
        await lab.settle()

        assert endpoints(lab) == {}


async def test_pods_whose_ports_have_other_numbers_get_a_slice_of_their_own() -> None:
    async with cluster() as lab:
        lab.storage.create("services", build.service(), namespace="shop")
        start(lab, "a")
        other = [{"name": "main", "image": "i:1", "ports": [{"name": "http", "containerPort": 9090}]}]
        start(lab, "b", containers=other)
        await lab.settle()
        ports = sorted(each["ports"][0]["port"] for each in slices(lab))

    assert ports == [8080, 9090]


async def test_labels_decide_and_may_change() -> None:
    async with cluster() as lab:
        lab.storage.create("services", build.service(), namespace="shop")
        start(lab, "a")
        await lab.settle()
        before = set(endpoints(lab))
        lab.storage.patch("pods", "a", "shop", {"metadata": {"labels": {"app": "other"}}})
        await lab.settle()
        without = set(endpoints(lab))
        lab.storage.patch("services", "web", "shop", {"spec": {"selector": {"app": "other"}}})
        await lab.settle()

        assert (before, without, set(endpoints(lab))) == ({"a"}, set(), {"a"})


async def test_a_hundred_endpoints_fill_a_slice() -> None:
    async with cluster() as lab:
        lab.storage.create("services", build.service(), namespace="shop")
        for number in range(120):
            start(lab, f"p{number}")
        await lab.settle()
        counts = sorted(len(each["endpoints"]) for each in slices(lab))

    assert counts == [20, 100]


async def test_slices_go_with_their_service() -> None:
    async with cluster() as lab:
        lab.storage.create("services", build.service(), namespace="shop")
        start(lab, "a")
        await lab.settle()
        lab.storage.delete("services", "web", "shop")
        await lab.settle()

        assert slices(lab) == []
        assert lab.storage.find("endpoints", "web", "shop") is None


async def test_a_service_without_selector_is_left_to_people() -> None:
    async with cluster() as lab:
        lab.storage.create("services", build.service(selector=None), namespace="shop")
        await lab.settle()

        assert slices(lab) == []
