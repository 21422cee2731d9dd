"""Which flows are needed, and by what that is known."""

from dataclasses import replace

import msgspec
import pytest

from bot.agent.report import Connection
from bot.cluster.objects import Container, ContainerPort, EnvVar, HttpGetAction, ProbeSpec
from bot.domain import facts
from bot.domain.facts import Subject
from bot.domain.flows import NeededFlow
from bot.probes.services.needed import needed_flows, needs
from tests.probes.build import FakeCluster, two_nodes
from tests.probes.services import add_dns, add_service


def configure(cluster: FakeCluster, pod: Subject, container: Container) -> None:
    spec = msgspec.structs.replace(cluster.pods[pod].spec, containers=(container,))
    cluster.pods[pod] = msgspec.structs.replace(cluster.pods[pod], spec=spec)


def known(cluster: FakeCluster, source: Subject) -> list[tuple[str, Subject | None, int]]:
    return [
        (flow.known_by, flow.target, flow.port) for flow in needed_flows(cluster.evidence()) if flow.source == source
    ]


def test_what_is_known_of_a_pod():
    cluster, a, b, c = two_nodes()
    dns, _ = add_dns(cluster)
    db = add_service(cluster, "shop/db", (c,), port=80, target=5432)
    cache = add_service(cluster, "shop/cache", (b,), ip="10.43.7.7", port=6379)
    configure(
        cluster, a, Container(env=(EnvVar(name="DB", value="db:80"), EnvVar(name="DB_SERVICE_HOST", value="cache")))
    )
    dialling = (
        Connection(ip="10.43.7.7", port=6379, state="syn-sent"),
        Connection(ip=cluster.pods[c].status.pod_ip, port=5432, state="established"),
        Connection(ip="198.51.100.7", port=443, state="established"),
    )
    cluster.inside(a, connections=dialling)

    assert known(cluster, a) == [
        ("environment", db, 80),
        ("socket", cache, 6379),
        ("connection", db, 80),
        ("connection", None, 443),
        ("dns", dns, 53),
    ]


def test_an_alias_stands_for_the_service_that_it_leads_to():
    cluster, a, _, c = two_nodes()
    db = add_service(cluster, "shop/db", (c,), port=80, target=5432)
    for name, leads_to in (("one", "two.shop.svc.cluster.local"), ("two", "db.shop.svc.cluster.local."), ("out", "db")):
        add_service(cluster, f"shop/{name}", ip="", type="ExternalName", external_name=leads_to)
    env = (EnvVar(name="DB", value="one:80"), EnvVar(name="BY_A_SHORT_NAME", value="out:80"))
    configure(cluster, a, Container(env=env))

    (flow,) = [flow for flow in needed_flows(cluster.evidence()) if flow.known_by == "environment"]

    assert (flow.target, flow.port, flow.name) == (db, 80, ""), "by its own name nothing of the Service's zone answers"


@pytest.mark.parametrize(
    ("name", "is_meant"),
    [
        ("store", True),
        ("store.shop.svc", True),
        ("store.shop.svc.cluster.local.", True),
        ("store.", False),
        ("store.shop.", False),
        ("store.shop.svc.", False),
    ],
)
def test_only_the_full_name_is_absolute_and_a_services(name: str, *, is_meant: bool):
    cluster, a, _, c = two_nodes()
    store = add_service(cluster, "shop/store", (c,), port=80)
    env = (EnvVar(name="URL", value=f"http://{name}:80/x"), EnvVar(name="PAIR", value=f"{name}:80"))
    configure(cluster, a, Container(env=env, args=(f"--store={name}:80",)))

    assert needs(cluster.evidence(), a, store, 80) is is_meant


def test_an_alias_of_a_name_that_is_cut_short_leads_to_no_service():
    cluster, a, _, c = two_nodes()
    db = add_service(cluster, "shop/db", (c,), port=80)
    add_service(cluster, "shop/one", ip="", type="ExternalName", external_name="db.shop.svc")
    configure(cluster, a, Container(env=(EnvVar(name="DB", value="one:80"),)))

    assert not needs(cluster.evidence(), a, db, 80)


def test_what_a_playbook_knows_of_an_application_yields_to_what_its_pod_is_told():
    cluster, a, b, c = two_nodes()
    scheduler = add_service(cluster, "shop/scheduler", (c,), port=9004)
    configure(cluster, a, Container(env=(EnvVar(name="SCHEDULER", value="scheduler:9004"),)))
    dials = [
        NeededFlow(source=pod, target=scheduler, port=port, known_by="playbook", why="agents subscribe")
        for pod in (a, b)
        for port in (9004, 9005)
    ]
    evidence = replace(cluster.evidence(), dials=tuple(dials))

    assert [flow.port for flow in needed_flows(evidence) if flow.known_by == "playbook" and flow.source == a] == [9004]
    assert needs(evidence, b, scheduler, 9005)


def test_a_kubelet_needs_the_ports_that_it_probes():
    cluster, a, *_ = two_nodes()
    probe = ProbeSpec(http_get=HttpGetAction(port="http"))
    configure(cluster, a, Container(ports=(ContainerPort(name="http", container_port=8080),), readiness_probe=probe))

    assert known(cluster, facts.node("node-1")) == [("probe", a, 8080)]


def test_a_pod_behind_a_service_does_not_dial_what_it_is_called():
    cluster, a, *_ = two_nodes()
    own = add_service(cluster, "shop/db", (a,), port=80)
    configure(cluster, a, Container(args=("--advertise=db:80",)))

    assert not needs(cluster.evidence(), a, own, 80)
