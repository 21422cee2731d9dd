"""Lines of /etc/hosts that lead a Service's name elsewhere."""

import pytest

from bot.agent.hosts import parse_hosts
from bot.agent.report import Connection, HostsLine
from bot.domain.facts import Subject
from bot.domain.finding import Severity
from bot.probes import hosts_file
from tests.probes.build import FakeCluster, facts_of, two_nodes
from tests.probes.services import add_service

ELSEWHERE = "10.9.9.9"


def asked(*lines: HostsLine, dials: str = "") -> tuple[FakeCluster, Subject]:
    """shop/a with these lines; Service shop/web is 10.43.1.1 and has one endpoint."""
    cluster, a, _, c = two_nodes()
    add_service(cluster, "shop/web", [c], ip="10.43.1.1")
    cluster.seen(a, hosts=lines)
    calls = (Connection(ip=dials, port=80, state="syn-sent"),) if dials else ()
    cluster.inside(a, connections=calls)
    return cluster, a


@pytest.mark.parametrize(
    ("ip", "name", "is_wrong"),
    [
        (ELSEWHERE, "web", True),
        (ELSEWHERE, "web.shop", True),
        (ELSEWHERE, "web.shop.svc", True),
        (ELSEWHERE, "web.shop.svc.cluster.local", True),
        ("10.43.1.1", "web.shop", False),
        ("10.42.2.10", "web.shop", False),
        (ELSEWHERE, "example.org", False),
        (ELSEWHERE, "web.other", False),
    ],
)
def test_a_line_is_held_against_the_service_of_that_name(ip: str, name: str, is_wrong: bool) -> None:  # noqa: FBT001
    cluster, a = asked(HostsLine(ip=ip, names=(name,)))

    found = facts_of(cluster.evidence(), hosts_file.PROBE).of(a)["hosts_lines_wrong"]

    assert found == ((f"{ip} {name} (Service shop/web)",) if is_wrong else ())


@pytest.mark.parametrize(
    ("dials", "severity"), [("", Severity.WARN), ("10.7.7.7", Severity.WARN), (ELSEWHERE, Severity.FAIL)]
)
def test_a_line_that_may_be_meant_so_is_a_fault_only_where_nothing_answers(dials: str, severity: Severity) -> None:
    cluster, a = asked(HostsLine(ip=ELSEWHERE, names=("web",)), dials=dials)

    [finding] = hosts_file.PROBE.judge(facts_of(cluster.evidence(), hosts_file.PROBE))

    assert (finding.subject, finding.severity, finding.symptom is not None) == (a, severity, severity is Severity.FAIL)


def test_a_file_that_was_not_read_is_unknown() -> None:
    cluster, a = asked()
    cluster.seen(a, hosts=None)

    assert "hosts_lines_wrong" not in facts_of(cluster.evidence(), hosts_file.PROBE).of(a)


def test_lines_are_read_as_a_resolver_reads_them() -> None:
    text = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost
fe00::0\tip6-mcastprefix
ff02::1\tip6-allnodes
10.42.0.7\tmy-pod

# Entries added by HostAliases.
10.9.9.9\tWeb.shop\tweb  # a comment
not-an-address name
10.9.9.8
"""

    assert parse_hosts(text) == (
        HostsLine(ip="10.42.0.7", names=("my-pod",)),
        HostsLine(ip="10.9.9.9", names=("web.shop", "web")),
    )
