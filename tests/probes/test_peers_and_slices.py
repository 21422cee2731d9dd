"""Headless Services whose pods look for each other, and EndpointSlices that are made by hand."""

from typing import Any

import msgspec
import pytest

from bot.cluster.objects import Container, EnvVar
from bot.probes import service_endpoints
from tests.probes.build import facts_of, two_nodes
from tests.probes.services import add_service


@pytest.mark.parametrize(
    ("spec", "variable", "waiting"),
    [
        ({"ip": "None"}, "peers:8080", 1),
        ({"ip": "None"}, "peers.shop.svc.cluster.local:8080", 1),
        ({"ip": "None"}, "peers.other:8080", 0),
        ({"ip": "None"}, "peers", 0),
        ({"ip": "None", "publish_not_ready_addresses": True}, "peers:8080", 0),
        ({}, "peers:8080", 0),
    ],
    ids=["its name", "its full name", "another namespace's", "no port", "it lists peers", "it has an address"],
)
def test_pods_that_look_for_each_other_by_a_name_that_has_no_address_yet(
    spec: dict[str, Any], variable: str, waiting: int
) -> None:
    cluster, *_ = two_nodes()
    pod = cluster.pod("shop/peer-1", "node-1", is_ready=False, labels={"app": "peers"})
    told = Container(name="main", env=(EnvVar(name="PEERS", value=variable),))
    made = msgspec.structs.replace(cluster.pods[pod].spec, containers=(told,))
    cluster.pods[pod] = msgspec.structs.replace(cluster.pods[pod], spec=made)
    service = add_service(cluster, "shop/peers", unready=(pod,), port=8080, **spec)

    known = facts_of(cluster.evidence(), service_endpoints.PROBE).of(service)

    assert len(known["awaits_itself"]) == waiting  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("selector", "name", "misnamed"),
    [({}, "", ('9004/TCP is named "main", and "" in EndpointSlice db-1',)), ({}, "main", ()), (None, "", ())],
    ids=["another name", "the same name", "a selector writes its own"],
)
def test_a_hand_made_slice_that_names_the_port_otherwise(
    selector: dict[str, str] | None, name: str, misnamed: tuple[str, ...]
) -> None:
    cluster, a, *_ = two_nodes()
    service = add_service(cluster, "shop/db", (a,), selector=selector)
    made = cluster.slices[-1]
    ports = tuple(msgspec.structs.replace(each, name=name) for each in made.ports)
    metadata = msgspec.structs.replace(made.metadata, name="db-1")
    cluster.slices[-1] = msgspec.structs.replace(made, ports=ports, metadata=metadata)

    known = facts_of(cluster.evidence(), service_endpoints.PROBE).of(service)

    assert known["ports_misnamed"] == misnamed
