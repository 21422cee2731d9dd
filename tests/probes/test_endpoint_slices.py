"""What EndpointSlices leave out, and what they still list."""

from dataclasses import dataclass

import msgspec
import pytest

from bot.cluster.objects import (
    Endpoint,
    EndpointHints,
    EndpointPort,
    EndpointSlice,
    ForZone,
    ObjectMeta,
    ObjectReference,
    ServicePort,
)
from tests.probes.build import two_nodes
from tests.probes.services import add_service
from tests.probes.test_service_endpoints import judged, labelled


def test_a_port_that_no_slice_knows_while_others_are_served():
    cluster, *_ = two_nodes()
    pod = labelled(cluster, "shop/web-1", app="web")
    web = add_service(cluster, "shop/web", (pod,))
    known = cluster.services[-1]
    more = ServicePort(name="grpc", port=9500, target_port="grpc-api")
    spec = msgspec.structs.replace(known.spec, ports=(*known.spec.ports, more))
    cluster.services[-1] = msgspec.structs.replace(known, spec=spec)

    assert judged(cluster)[0].of(web)["ports_unserved"] == ("9500/TCP (targetPort grpc-api)",)


@pytest.mark.parametrize(
    ("ref", "ip", "said"),
    [
        ("web-1", "", ""),
        ("gone", "10.42.1.99", "shop/gone, which does not exist"),
        ("gone", "10.42.1.10", "shop/gone, which does not exist, and the address is shop/a's now"),
        ("web-1", "10.42.1.99", "shop/web-1, which has another address"),
    ],
    ids=["its own", "gone", "used again", "moved"],
)
def test_a_slice_that_nobody_keeps(ref: str, ip: str, said: str):
    cluster, *_ = two_nodes()
    pod = labelled(cluster, "shop/web-1", app="web")
    web = add_service(cluster, "shop/web", (pod,))
    own = cluster.pods[pod].status.pod_ip
    end = Endpoint(addresses=(ip or own,), target_ref=ObjectReference(kind="Pod", namespace="shop", name=ref))
    meta = ObjectMeta(namespace="shop", name="left", labels={"kubernetes.io/service-name": "web"})
    cluster.slices.append(EndpointSlice(metadata=meta, ports=(EndpointPort(name="main", port=9004),), endpoints=(end,)))

    expected = (f"{ip} in EndpointSlice left is of {said}",) if said else ()
    assert judged(cluster)[0].of(web)["endpoints_outdated"] == expected


@dataclass(frozen=True)
class _Zone:
    hinted: bool
    zone: str
    expected: bool


@pytest.mark.parametrize("case", [_Zone(True, "b", True), _Zone(True, "a", False), _Zone(False, "b", False)])
def test_zone_hints(case: _Zone):
    """Hints count only where every ready endpoint carries one."""
    cluster, *_ = two_nodes()
    for name, node in list(cluster.nodes.items()):
        meta = ObjectMeta(name=name, labels={"topology.kubernetes.io/zone": "a"})
        cluster.nodes[name] = type(node)(metadata=meta, spec=node.spec, status=node.status)
    web = add_service(cluster, "shop/web")
    hints = EndpointHints(for_zones=(ForZone(name=case.zone),)) if case.hinted else None
    cluster.slices[-1] = EndpointSlice(
        metadata=cluster.slices[-1].metadata,
        ports=(EndpointPort(name="main", port=9004),),
        endpoints=(Endpoint(addresses=("10.42.1.10",), node_name="node-1", hints=hints),),
    )

    known, _ = judged(cluster)

    assert known.of(web)["hints_empty_zone"] is case.expected
