"""Pods that have no port left to call from."""

from typing import Any

import pytest

from bot.domain.finding import Severity
from bot.probes import local_ports
from tests.probes.build import facts_of, sentences, two_nodes


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        ({"outcome": "EADDRNOTAVAIL"}, "exhausted"),
        ({"outcome": "timeout", "tries": 3, "outcomes": {"EADDRNOTAVAIL": 1, "timeout": 2}}, "exhausted"),
        ({"outcome": "timeout"}, "free"),
        ({"outcome": "EADDRNOTAVAIL", "ip": "fd00::1"}, None),
        ({"outcome": "EADDRNOTAVAIL", "protocol": "icmp"}, None),
    ],
    ids=["refused", "refused once", "another failure", "no address over IPv6", "no port needed"],
)
def test_the_kernels_own_refusal_tells(fields: dict[str, Any], state: str | None) -> None:
    cluster, a, _, c = two_nodes()
    about: dict[str, Any] = {"protocol": "tcp", "port": 80}
    cluster.test(a, "remote-pod", to=c, **(about | fields))

    assert facts_of(cluster.evidence(), local_ports.PROBE).of(a).get("local_ports") == state


def test_the_range_is_said() -> None:
    cluster, a, _, c = two_nodes()
    cluster.inside(a, sysctls={"ipv4.ip_local_port_range": "40000\t40001"})
    cluster.test(a, "remote-pod", to=c, protocol="tcp", port=80, outcome="EADDRNOTAVAIL")
    table = facts_of(cluster.evidence(), local_ports.PROBE)

    assert sentences(list(local_ports.PROBE.judge(table)), Severity.WARN) == [
        "Pod shop/a has no free port left to call from (EADDRNOTAVAIL), of 40000 to 40001."
    ]


def test_ports_that_are_reserved_stand_beside_the_range() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.inside(
        a, sysctls={"ipv4.ip_local_port_range": "40000\t40009", "ipv4.ip_local_reserved_ports": "40000-40009"}
    )

    known = facts_of(cluster.evidence(), local_ports.PROBE).of(a)
    assert known["local_port_range"] == "40000 to 40009 without 40000-40009"
