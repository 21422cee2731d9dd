"""Pods that do not reach themselves: what is needed and fails, what fails and nobody needs, what only looks like it."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from bot.agent.report import (
    Address,
    Connection,
    Firewall,
    FirewallChain,
    FirewallMatch,
    FirewallRule,
    FirewallStep,
    Link,
    Listener,
    SelfTest,
)
from bot.cluster.objects import Container, ContainerStatus, EnvVar, ExecAction, ProbeSpec
from bot.domain.facts import FactTable, Subject
from bot.domain.finding import Severity, SymptomKind
from bot.probes import loopback
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes

SERVED = (Listener(protocol="tcp", ip="0.0.0.0", port=9000),)
LO = Link(ifindex=1, name="lo", is_up=True, has_carrier=True, mtu=65536)
OWN4 = Address(dev="lo", ip="127.0.0.1", prefix_len=8)
OWN6 = Address(dev="lo", ip="::1", prefix_len=128, family=6)
IPV6_ON = {"ipv6.conf.lo.disable_ipv6": "0"}
PASSES = SelfTest(ip="127.0.0.1", port=9000, outcome="ok")
WAITS = SelfTest(ip="127.0.0.1", port=9000, outcome="timeout")


def made(**changes: Any) -> tuple[FakeCluster, Subject]:
    """shop/a with a whole lo and a port 9000 on which it listens, but for these fields of its namespace."""
    cluster, a, _, _ = two_nodes()
    state = cluster.report_of(a).state
    assert state is not None
    links = (LO, *(one for one in state.links if one.name != "lo"))
    addresses = (OWN4, *(one for one in state.addresses if one.dev != "lo"))
    cluster.inside(a, **({"links": links, "addresses": addresses, "listeners": SERVED} | changes))
    return cluster, a


def configured(cluster: FakeCluster, pod: Subject, **fields: Any) -> None:
    known = cluster.pods[pod]
    container = Container(name="main", **fields)
    cluster.pods[pod] = msgspec.structs.replace(
        known, spec=msgspec.structs.replace(known.spec, containers=(container,))
    )


def dialling(cluster: FakeCluster, pod: Subject, url: str) -> None:
    configured(cluster, pod, env=(EnvVar(name="SIDECAR", value=url),))


def with_lo(cluster: FakeCluster, pod: Subject, **changes: Any) -> None:
    state = cluster.report_of(pod).state
    assert state is not None
    cluster.inside(pod, links=tuple(replace(one, **changes) if one.name == "lo" else one for one in state.links))


def known(cluster: FakeCluster) -> FactTable:
    return facts_of(cluster.evidence(), loopback.PROBE)


def test_what_dials_itself_is_kept_from_it_while_lo_is_down():
    cluster, a = made()
    dialling(cluster, a, "http://localhost:9000")
    with_lo(cluster, a, is_up=False)
    cluster.seen(a, self_tests=(WAITS,))
    table = known(cluster)
    findings = loopback.PROBE.judge(table)

    assert (table.of(a)["lo"], table.of(a)["self_unreached"]) == ("down", ("127.0.0.1:9000",))
    assert sentences(list(findings), Severity.FAIL) == [
        "Pod shop/a does not reach itself: its variable SIDECAR names http://localhost:9000 (lo is down)."
    ]
    assert [one.symptom.kind for one in findings if one.symptom] == [SymptomKind.POD_SELF_UNREACHABLE]


def test_a_device_that_nobody_needs_is_reported_and_breaks_nothing():
    cluster, a = made()
    with_lo(cluster, a, is_up=False)
    cluster.seen(a, self_tests=(WAITS,))
    findings = loopback.PROBE.judge(known(cluster))

    assert sentences(list(findings), Severity.FAIL) == []
    assert sentences(list(findings), Severity.WARN) == [
        "In pod shop/a the loopback device lo is down; nothing is known to need it."
    ]


def test_what_nobody_serves_is_no_way_that_lo_breaks():
    """An exporter's default, where no collector runs in the pod."""
    cluster, a = made()
    dialling(cluster, a, "http://localhost:4317")
    with_lo(cluster, a, is_up=False)

    assert sentences(list(loopback.PROBE.judge(known(cluster))), Severity.FAIL) == []


@pytest.mark.parametrize(
    ("url", "addresses", "sysctls", "lacks", "is_broken"),
    [
        ("http://127.0.0.1:9000", (OWN6,), IPV6_ON, ("127.0.0.1",), True),
        ("http://localhost:9000", (OWN6,), IPV6_ON, ("127.0.0.1",), True),
        ("http://[::1]:9000", (OWN4,), IPV6_ON, ("::1",), True),
        ("http://localhost:9000", (OWN4,), IPV6_ON, ("::1",), False),
        ("http://[::1]:9000", (OWN4,), {"ipv6.conf.lo.disable_ipv6": "1"}, (), False),
        ("http://[::1]:9000", (OWN4,), {}, (), False),
    ],
    ids=["no 127.0.0.1", "localhost without it", "no ::1", "localhost without ::1", "IPv6 is off", "not read"],
)
def test_an_address_that_lo_lost_matters_to_those_who_dial_it(
    url: str, addresses: tuple[Address, ...], sysctls: dict[str, str], lacks: tuple[str, ...], *, is_broken: bool
):
    cluster, a = made()
    state = cluster.report_of(a).state
    assert state is not None
    others = tuple(one for one in state.addresses if one.dev != "lo")
    cluster.inside(a, addresses=(*addresses, *others), sysctls=state.sysctls | sysctls)
    dialling(cluster, a, url)
    cluster.seen(a, self_tests=())
    found = known(cluster).of(a)

    assert (found["lo_lacks"], bool(found["self_broken"])) == (lacks, is_broken)


@pytest.mark.parametrize(
    ("test", "fails"),
    [
        (WAITS, True),
        (SelfTest(ip="127.0.0.1", port=9000, outcome="ECONNREFUSED", icmp="port-unreachable"), True),
        (SelfTest(ip="127.0.0.1", port=9000, outcome="EPERM"), True),
        (SelfTest(ip="127.0.0.1", port=9000, outcome="ECONNREFUSED"), False),
        (SelfTest(ip="127.0.0.1", port=9000, outcome="reset"), False),
        (SelfTest(ip="127.0.0.1", port=9000, outcome="EADDRNOTAVAIL"), False),
        (SelfTest(ip="::1", port=9000, outcome="ENETUNREACH"), False),
        (PASSES, False),
    ],
    ids=["silence", "refused by a rule", "denied", "nobody listens", "reset", "no port free", "IPv6 off", "answered"],
)
def test_what_came_of_a_connection_inside(test: SelfTest, *, fails: bool):
    cluster, a = made()
    dialling(cluster, a, "http://127.0.0.1:9000")
    cluster.seen(a, self_tests=(test,))
    found = known(cluster).of(a)

    assert (bool(found["self_unreached"]), bool(found["self_broken"])) == (fails, fails)


def rule(*matches: FirewallMatch, delta: int | None = 3) -> Firewall:
    place: dict[str, Any] = {"backend": "iptables-nft", "family": "ip", "table": "filter", "chain": "INPUT"}
    text = "-i lo -p tcp --dport 9000 -j DROP"
    return Firewall(
        chains=(FirewallChain(**place, hook="INPUT", policy="accept", rules=1),),
        drops=(FirewallRule(**place, verdict="drop", text=text, packets=delta, packets_delta=delta),),
        drops_total=1,
        steps=(FirewallStep(**place, matches=matches, verdict="drop", text=text),),
    )


ON_LO = FirewallMatch(fields=("iif",), values=("lo",))
TO_9000 = FirewallMatch(fields=("dport",), values=("9000",))


@pytest.mark.parametrize(
    ("firewall", "names"),
    [
        (rule(ON_LO, TO_9000), True),
        (rule(ON_LO, FirewallMatch(fields=("dport",), values=("9001",))), False),
        (rule(FirewallMatch(fields=("iif",), values=("eth0",)), TO_9000), False),
        (rule(ON_LO), False),
        (rule(ON_LO, TO_9000, delta=0), False),
    ],
    ids=["on lo", "another port", "another device", "takes what passed too", "its counter stood still"],
)
def test_a_rule_in_the_pod_is_named_that_takes_what_fails_and_nothing_else(firewall: Firewall, *, names: bool):
    cluster, a = made(firewall=firewall)
    dialling(cluster, a, "http://127.0.0.1:9000")
    cluster.seen(a, self_tests=(WAITS, SelfTest(ip="127.0.0.1", port=9002, outcome="ok")))
    found = known(cluster).of(a)

    said = "ip/filter/INPUT (hook input, priority 0, of unknown origin): -i lo -p tcp --dport 9000 -j DROP"
    assert found["lo_rules"] == ((said,) if names else ())


def test_a_filter_that_was_not_read_rules_nothing_out():
    cluster, a = made(firewall=None)
    cluster.seen(a, self_tests=(WAITS,))

    assert "lo_rules" not in known(cluster).of(a)


def test_a_command_that_is_a_probe_shows_whom_it_asks():
    cluster, a = made()
    configured(cluster, a, readiness_probe=ProbeSpec(exec=ExecAction(command=("127.0.0.1:9000",))))
    with_lo(cluster, a, is_up=False)

    assert known(cluster).of(a)["self_broken"] == (
        "its readiness probe, a command in it, asks 127.0.0.1:9000 (lo is down)",
    )


@pytest.mark.parametrize("is_ready", [True, False])
def test_a_command_that_does_not_say_whom_it_asks_counts_where_the_container_is_not_ready(*, is_ready: bool):
    cluster, a = made()
    configured(cluster, a, readiness_probe=ProbeSpec(exec=ExecAction()))
    with_lo(cluster, a, is_up=False)
    pod = cluster.pods[a]
    status = msgspec.structs.replace(
        pod.status, container_statuses=(ContainerStatus(name="main", ready=is_ready, started=True),)
    )
    cluster.pods[a] = msgspec.structs.replace(pod, status=status)
    cluster.seen(a, self_tests=(WAITS,))

    assert bool(known(cluster).of(a)["self_broken"]) is not is_ready


def test_a_socket_that_waits_for_the_pod_itself_is_a_need():
    cluster, a = made(connections=(Connection(ip="127.0.0.1", port=9000, state="syn-sent"),))
    cluster.seen(a, self_tests=(WAITS,))

    assert known(cluster).of(a)["self_broken"] == (
        "it dials 127.0.0.1:9000 without an answer (127.0.0.1:9000 gets no answer inside the pod)",
    )


def test_nothing_is_known_of_a_pod_that_was_not_read():
    cluster, a = made()
    cluster.seen(a, is_found=False, why_not="no such process", state=None)
    table = known(cluster)

    assert dict(table.of(a)) == {}
    assert table.why_unobserved(a, "lo") == "no such process"


@pytest.mark.parametrize(
    ("localhost", "rcode", "said"),
    [
        ((), "NXDOMAIN", "its variable SIDECAR names http://localhost:9000"),
        ((), "", ""),
        (("127.0.0.1",), "NXDOMAIN", ""),
        (None, "NXDOMAIN", ""),
    ],
    ids=["neither file nor DNS", "the DNS knows it", "the file has it", "the file was not read"],
)
def test_localhost_is_missed_where_neither_the_file_nor_a_nameserver_has_it(
    localhost: tuple[str, ...] | None, rcode: str, said: str
):
    cluster, a = made()
    dialling(cluster, a, "http://localhost:9000")
    cluster.seen(a, self_tests=(PASSES,), localhost=localhost, hosts=(), nameservers=("10.43.0.10",))
    cluster.test(
        a,
        "dns-own",
        protocol="dns-udp",
        ip="10.43.0.10",
        name="localhost",
        asked="localhost",
        rcode=rcode or "NOERROR",
        answers=() if rcode else ("127.0.0.1",),
    )
    table = known(cluster)

    assert table.of(a)["localhost_missing"] == said
    assert bool(sentences(list(loopback.PROBE.judge(table)), Severity.FAIL)) is bool(said)
