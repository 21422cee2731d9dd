"""Ports at which pods are configured to dial a Service, and that it does not have."""

from dataclasses import dataclass

import msgspec
import pytest

from bot.agent.report import Outcome
from bot.cluster.objects import Container, EnvVar
from bot.cluster.objects.pods import HostAlias
from bot.diagnosis.agent_tasks import plan_tasks
from bot.diagnosis.untried import untried_flows
from bot.domain import facts
from bot.domain.facts import FactTable, Subject
from bot.domain.finding import Finding, Severity
from bot.probes import dialled_ports
from bot.probes.services.unready import unready
from tests.probes.build import FakeCluster, facts_of
from tests.probes.services import add_service, listening

VIP = "10.43.51.131"


@dataclass
class Shop:
    """shop/a on node-1 is configured to dial Service shop/db, behind which shop/b listens on 5432."""

    cluster: FakeCluster
    pod: Subject
    behind: Subject

    @property
    def behind_ip(self) -> str:
        return self.cluster.pods[self.behind].status.pod_ip

    def tried(self, ip: str, port: int, outcome: Outcome = "ECONNREFUSED") -> None:
        self.cluster.test(self.pod, "dial", outcome=outcome, protocol="tcp", ip=ip, port=port, name=f"{ip}:{port}")

    def dialled(self) -> set[tuple[str, int]]:
        """What the pod's node is asked to try by such addresses."""
        targets = plan_tasks(self.cluster.evidence(), deadline_s=10)["node-1"].targets
        return {(each.ip, each.port) for each in targets if each.purpose == "dial"}

    def judged(self) -> tuple[FactTable, list[Finding]]:
        known = facts_of(self.cluster.evidence(), dialled_ports.PROBE)
        return known, list(dialled_ports.PROBE.judge(known))


def shop(value: str, *, ip: str = VIP, port: int = 5432, is_ready: bool = False, is_own: bool = False) -> Shop:
    cluster = FakeCluster("calico")
    cluster.node("node-1")
    cluster.node("node-2")
    pod = cluster.pod("shop/a", "node-1", is_ready=is_ready)
    behind = cluster.pod("shop/b", "node-2")
    add_service(cluster, "shop/db", [behind, *([pod] if is_own else [])], ip=ip, port=port, target=5432)
    listening(cluster, behind, ("0.0.0.0", 5432))
    told = Container(name="main", env=(EnvVar(name="DB", value=value),))
    spec = msgspec.structs.replace(cluster.pods[pod].spec, containers=(told,))
    cluster.pods[pod] = msgspec.structs.replace(cluster.pods[pod], spec=spec)
    return Shop(cluster, pod, behind)


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_port_that_the_service_does_not_have_is_a_fault_of_what_dials_it(*, is_ready: bool):
    made = shop("db:5433", is_ready=is_ready)
    assert made.dialled() == {(VIP, 5433)}
    made.tried(VIP, 5433)

    known, (finding,) = made.judged()

    assert known.of(made.pod)["ports_missing"] == (
        "its variable DB names db:5433, and Service shop/db has 5432/TCP, not 5433",
    )
    assert finding.severity is Severity.FAIL
    assert finding.symptom is not None
    assert finding.symptom.hop == "service"


def test_its_being_unready_follows_from_that():
    made = shop("postgres://app:secret@db.shop.svc.cluster.local:5433/orders")
    made.tried(VIP, 5433, "timeout")

    why = unready(made.cluster.evidence(), made.pod, made.cluster.pods[made.pod])

    assert why is not None
    assert (why.why, why.lacks) == ("needs", ("Service shop/db at 5433, a port that it does not have",))


def test_a_headless_service_is_dialled_at_the_ports_of_its_pods():
    made = shop("db:5000", ip="None", port=5000)
    assert made.dialled() == {(made.behind_ip, 5000)}
    made.tried(made.behind_ip, 5000)

    known, _ = made.judged()

    words = (
        "its variable DB names db:5000, and Service shop/db is headless: its name leads to the pods themselves, which "
        "listen on 5432/TCP, not on 5000"
    )
    assert known.of(made.pod)["ports_missing"] == (words,)


def test_what_a_headless_service_says_of_ports_is_no_fault_where_its_pods_are_dialled_at_their_own():
    made = shop("db:5432", ip="None", port=5000)
    assert made.dialled() == set()

    _, findings = made.judged()

    assert findings == []


def test_a_port_on_which_the_pods_of_a_headless_service_listen_need_not_be_the_services():
    made = shop("db:9187", ip="None")
    listening(made.cluster, made.behind, ("0.0.0.0", 5432), ("::", 9187))

    assert made.dialled() == set()
    assert made.judged()[1] == []


@pytest.mark.parametrize(("is_ready", "severity"), [(True, Severity.INFO), (False, Severity.FAIL)])
def test_a_bare_url_may_be_for_people_as_long_as_the_pod_is_ready(*, is_ready: bool, severity: Severity):
    made = shop("http://db", is_ready=is_ready)
    made.tried(VIP, 80)

    _, (finding,) = made.judged()

    assert finding.severity is severity
    assert (finding.symptom is None) is is_ready


def test_what_answers_all_the_same_is_no_fault():
    made = shop("db:5433")
    made.tried(VIP, 5433, "ok")

    assert made.judged()[1] == []


@pytest.mark.parametrize(
    "value", ["db:5432", "statsd:8125", "db:8125", "db.example.org:5433", "db.:5433", "db.shop.svc.:5433"]
)
def test_other_names_and_ports_are_not_in_doubt(value: str):
    assert shop(value).dialled() == set()


def test_its_own_service_is_what_a_pod_is_called_and_not_whom_it_dials():
    assert shop("db:5433", is_own=True).dialled() == set()


@pytest.mark.parametrize("name", ["db", "db.shop.svc.cluster.local", "db.shop.svc.cluster.local."])
def test_a_name_that_the_pods_own_hosts_file_knows_is_another_machine(name: str):
    made = shop(f"{name}:5433")
    assert made.dialled() == {(VIP, 5433)}
    alias = HostAlias(ip="192.0.2.7", hostnames=(name.rstrip("."),))
    spec = msgspec.structs.replace(made.cluster.pods[made.pod].spec, host_aliases=(alias,))
    made.cluster.pods[made.pod] = msgspec.structs.replace(made.cluster.pods[made.pod], spec=spec)

    assert made.dialled() == set()


def test_where_nothing_was_tried_nothing_is_known():
    made = shop("db:5433")
    known, findings = made.judged()
    evidence = made.cluster.evidence()

    assert findings == []
    assert known.of(made.pod).get("ports_missing") is None
    assert unready(evidence, made.pod, made.cluster.pods[made.pod]) is None, "and so not that it is its own matter"
    assert [(flow.target, flow.port) for flow in untried_flows(evidence)] == [(facts.service("shop", "db"), 5433)]


def test_a_node_tries_for_the_pod_that_shares_its_network():
    made = shop("db:5433", is_ready=True)
    spec = msgspec.structs.replace(made.cluster.pods[made.pod].spec, host_network=True)
    made.cluster.pods[made.pod] = msgspec.structs.replace(made.cluster.pods[made.pod], spec=spec)
    assert made.dialled() == {(VIP, 5433)}
    assert [flow.port for flow in untried_flows(made.cluster.evidence())] == [5433]
    node = facts.node("node-1")
    made.cluster.test(node, "dial", outcome="ECONNREFUSED", protocol="tcp", ip=VIP, port=5433, name=f"{VIP}:5433")

    known, (finding,) = made.judged()

    assert known.of(made.pod)["ports_missing_services"] == ("shop/db",)
    assert finding.severity is Severity.FAIL
    assert list(untried_flows(made.cluster.evidence())) == []
