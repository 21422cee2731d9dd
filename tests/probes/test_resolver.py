"""Names as each pod's own resolver finds them: nameservers in order, search list, and pods with the node's network."""

import dataclasses
from typing import Any

import pytest
from msgspec.structs import replace

from bot.agent.report import HostsLine
from bot.cluster.objects import ConfigMap, Container, EnvVar, ObjectMeta, PodDnsConfig
from bot.cluster.objects.pods import HostAlias
from bot.domain import facts
from bot.domain.facts import FactTable, Subject
from bot.domain.finding import Finding, Severity
from bot.probes import dns, network_policies, pod_sandbox, resolver
from bot.probes.shared.values import strings
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes
from tests.probes.services import API_IP, API_NAME, DNS_IP, add_dns, add_service

ZONE = ("shop.svc.cluster.local", "svc.cluster.local", "cluster.local")
OTHER = ("shop.svc.k8s.lan", "svc.k8s.lan", "k8s.lan")
FOUND: dict[str, Any] = {"rcode": "NOERROR", "answers": (API_IP,)}
NOT_FOUND: dict[str, Any] = {"rcode": "NXDOMAIN"}


def cluster_of(
    *nameservers: str, search: tuple[str, ...] = ZONE, silent: tuple[str, ...] = (), options: tuple[str, ...] = ()
) -> tuple[FakeCluster, Subject]:
    """A pod that has asked each of its nameservers for full names, and for the short one through its search list."""
    cluster, a, _, _ = two_nodes()
    add_dns(cluster)
    cluster.seen(a, nameservers=nameservers, search=search, ndots=5, resolver_options=options)
    for server in nameservers:
        answer = {"outcome": "timeout"} if server in silent else FOUND
        ask(cluster, a, server, API_NAME, **answer)
        ask(cluster, a, server, API_NAME, record="AAAA", **({"outcome": "timeout"} if server in silent else NO_ADDRESS))
        for domain in search:
            name = f"kubernetes.default.{domain}"
            found = FOUND if name == API_NAME else NOT_FOUND
            ask(cluster, a, server, name, asked="kubernetes.default", **(answer if server in silent else found))
    return cluster, a


NO_ADDRESS: dict[str, Any] = {"rcode": "NOERROR", "answers": ()}


def ask(cluster: FakeCluster, source: Subject, server: str, name: str, **fields: Any) -> None:
    cluster.test(source, "dns-own", protocol="dns-udp", ip=server, name=name, **fields)


def judged(cluster: FakeCluster, **snapshot: Any) -> tuple[FactTable, list[Finding]]:
    cluster.snapshot_fields |= snapshot
    known = facts_of(cluster.evidence(), pod_sandbox.PROBE, dns.PROBE, network_policies.PROBE, resolver.PROBE)
    return known, list(resolver.PROBE.judge(known))


@pytest.mark.parametrize(("search", "zones"), [(ZONE, ("cluster.local",)), (OTHER, ("cluster.local", "k8s.lan"))])
def test_where_pods_look_for_services_tells_one_pod_that_differs_from_all_that_agree(
    search: tuple[str, ...], zones: tuple[str, ...]
):
    cluster, a = cluster_of(DNS_IP, search=search)
    for pod in cluster.pods:
        if pod != a:
            cluster.seen(pod, search=ZONE, nameservers=(DNS_IP,))

    known, _ = judged(cluster)

    assert known.of(facts.CLUSTER)["searched_zones"] == zones


def test_a_pod_whose_resolver_is_as_it_should_be():
    cluster, a = cluster_of(DNS_IP)

    known, findings = judged(cluster)

    assert known.of(a).items() >= {
        "first_nameserver": "ok", "nameservers_silent": (), "lookup_delay_s": 0.0, "full_name": "ok",
        "short_name": "ok", "names_not_found": (), "aaaa": "ok", "wrong_names": (),
    }.items()  # fmt: skip
    assert [each.severity for each in findings] == [Severity.PASS]


@pytest.mark.parametrize(("options", "delay"), [((), 5.0), (("timeout:2", "attempts:3"), 2.0)])
def test_each_lookup_waits_for_a_dead_first_nameserver(options: tuple[str, ...], delay: float):
    cluster, a = cluster_of("10.96.0.10", DNS_IP, silent=("10.96.0.10",), options=options)

    known, findings = judged(cluster)

    assert known.of(a)["lookup_delay_s"] == delay
    assert known.of(a)["nameserver_matches"] is False
    assert sentences(findings, Severity.WARN) == [
        (
            "Pod shop/a on node-1 asks the nameserver 10.96.0.10 first, which answers nothing: each lookup waits "
            f"{delay:g} s before the next nameserver is asked (by glibc's rules)."
        )
    ]


def test_a_dead_second_nameserver_costs_nothing():
    cluster, a = cluster_of(DNS_IP, "10.96.0.10", silent=("10.96.0.10",))

    known, findings = judged(cluster)

    assert known.of(a)["lookup_delay_s"] == 0.0
    assert [each.severity for each in findings] == [Severity.PASS]


def test_search_domains_that_nobody_serves():
    cluster, a = cluster_of(DNS_IP, search=OTHER)

    known, findings = judged(cluster)

    assert known.of(a).items() >= {"short_name": "nxdomain", "full_name": "ok"}.items()
    assert sentences(findings, Severity.FAIL) == [
        (
            "Short names of Services do not resolve in shop/a on node-1; full ones do. Their resolvers search "
            "shop.svc.k8s.lan, svc.k8s.lan, k8s.lan."
        )
    ]


def test_the_zone_is_what_the_corefile_says():
    cluster, a = cluster_of(DNS_IP, search=OTHER)
    corefile = ".:53 {\n    kubernetes k8s.lan in-addr.arpa\n}\n"
    found = ConfigMap(metadata=ObjectMeta(namespace="kube-system", name="coredns"), data={"Corefile": corefile})

    known, _ = judged(cluster, config_maps=(found,))

    assert known.of(facts.CLUSTER)["dns_zone"] == "k8s.lan"
    assert known.of(a)["names_not_found"] == ()


@pytest.mark.parametrize(
    ("search", "reported", "missed"),
    [
        (ZONE, "db:80", ()),
        (ZONE, "db.shop:80", ()),
        (ZONE, "db.shop.svc.cluster.local:80", ()),
        (("web.svc.cluster.local", "svc.cluster.local"), "db:80", ("db",)),
        (("web.svc.cluster.local", "svc.cluster.local"), "db.shop:80", ()),
        ((), "db:80", ("db",)),
        ((), "db.shop.svc:80", ("db.shop.svc",)),
        ((), "db.shop.svc.cluster.local:80", ()),
    ],
)
def test_search_domains_that_miss_what_the_pod_is_told_to_dial(
    search: tuple[str, ...], reported: str, missed: tuple[str, ...]
):
    cluster, a = cluster_of(DNS_IP, search=search)
    other = facts.pod("shop", "b")
    add_service(cluster, "shop/db", (other,), port=80)
    spec = replace(cluster.pods[a].spec, containers=(Container(env=(EnvVar(name="DB", value=reported),)),))
    cluster.pods[a] = replace(cluster.pods[a], spec=spec)

    known, findings = judged(cluster)

    assert known.of(a)["names_not_found"] == missed
    assert [f"({missed[0]})" in each for each in sentences(findings, Severity.FAIL)] == [True] * len(missed)


def test_what_the_hosts_file_of_a_pod_holds_is_not_asked_of_the_dns():
    cluster, a = cluster_of(DNS_IP, search=())
    add_service(cluster, "shop/db", (facts.pod("shop", "b"),), port=80)
    container = Container(env=(EnvVar(name="DB", value="db:80"),))
    alias = HostAlias(ip="10.43.9.9", hostnames=("db",))
    spec = replace(cluster.pods[a].spec, containers=(container,), host_aliases=(alias,))
    cluster.pods[a] = replace(cluster.pods[a], spec=spec)

    assert judged(cluster)[0].of(a)["names_not_found"] == ()


def test_a_name_that_gives_another_address_than_its_service_has():
    cluster, a, _, _ = two_nodes()
    add_dns(cluster)
    cluster.seen(a, nameservers=(DNS_IP,), search=ZONE)
    ask(cluster, a, DNS_IP, API_NAME, rcode="NOERROR", answers=("203.0.113.9",))
    api = facts.service("default", "kubernetes")
    known, findings = judged(cluster)
    if api not in cluster.evidence().services:
        pytest.skip("the cluster has no Service of the API")

    assert known.of(a)["wrong_names"] == (f"{API_NAME} is 203.0.113.9",)
    assert len(sentences(findings, Severity.FAIL)) == 1


@pytest.mark.parametrize(("args", "is_wrong"), [((), False), (("--server=http://kubernetes.default.svc:443",), True)])
def test_a_wildcard_of_a_resolver_outside_is_wrong_for_pods_that_need_names_of_the_cluster(
    args: tuple[str, ...], *, is_wrong: bool
):
    cluster, a, _, _ = two_nodes()
    add_dns(cluster)
    cluster.seen(a, nameservers=("192.0.2.53",), search=())
    pod = cluster.pods[a]
    container = replace(pod.spec.containers[0], args=args)
    cluster.pods[a] = replace(pod, spec=replace(pod.spec, dns_policy="Default", containers=(container,)))
    for protocol in ("dns-udp", "dns-tcp"):
        cluster.test(
            a, "dns-own", protocol=protocol, ip="192.0.2.53", name=API_NAME, rcode="NOERROR", answers=("203.0.113.9",)
        )

    known, findings = judged(cluster)

    assert known.of(a)["wrong_names"] == ((f"{API_NAME} is 203.0.113.9",) if is_wrong else ())
    assert bool(sentences(findings, Severity.FAIL)) == is_wrong


def test_questions_for_ipv6_that_nobody_answers():
    cluster, a, _, _ = two_nodes()
    add_dns(cluster)
    cluster.seen(a, nameservers=(DNS_IP,), search=ZONE)
    ask(cluster, a, DNS_IP, API_NAME, **FOUND)
    ask(cluster, a, DNS_IP, API_NAME, record="AAAA", outcome="timeout")

    known, findings = judged(cluster)

    assert known.of(a)["aaaa"] == "timeout"
    assert len(sentences(findings, Severity.WARN)) == 1


def test_a_nameserver_of_the_pods_own_dns_config_is_meant():
    cluster, a = cluster_of("192.0.2.53", DNS_IP)
    pod = cluster.pods[a]
    cluster.pods[a] = replace(pod, spec=replace(pod.spec, dns_config=PodDnsConfig(nameservers=("192.0.2.53",))))

    assert judged(cluster)[0].of(a)["nameserver_matches"] is True


@pytest.mark.parametrize(
    ("policy", "args", "severity"),
    [
        ("ClusterFirst", ("--server=http://kubernetes.default.svc:443",), Severity.FAIL),
        ("ClusterFirst", ("--verbose",), Severity.INFO),
        ("ClusterFirstWithHostNet", ("--server=http://kubernetes.default.svc:443",), None),
        ("Default", (), None),
    ],
)
def test_a_pod_with_the_nodes_network(policy: str, args: tuple[str, ...], severity: Severity | None):
    """The spec alone shows whom it asks; whether it needs the cluster's names decides."""
    cluster, a, _, _ = two_nodes()
    add_dns(cluster)
    pod = cluster.pods[a]
    container = replace(pod.spec.containers[0], args=args)
    cluster.pods[a] = replace(
        pod, spec=replace(pod.spec, host_network=True, dns_policy=policy, containers=(container,))
    )

    _, findings = judged(cluster)

    reported = [each.severity for each in findings if "hostNetwork" in each.sentence]
    assert reported == ([severity] if severity else [])


@pytest.mark.parametrize(
    ("policy", "answer", "severities"),
    [
        ("Default", "nxdomain", [Severity.FAIL]),
        ("None", "timeout", [Severity.FAIL]),
        ("Default", "ok", []),
        ("ClusterFirst", "nxdomain", []),
    ],
)
def test_a_dns_policy_that_skips_the_clusters_dns(policy: str, answer: str, severities: list[Severity]):
    """Its own nameservers may know the cluster's names all the same: only what they answered decides."""
    cluster, a, _, _ = two_nodes()
    add_dns(cluster)
    pod = cluster.pods[a]
    container = replace(pod.spec.containers[0], args=("--server=http://kubernetes.default.svc:443",))
    cluster.pods[a] = replace(pod, spec=replace(pod.spec, dns_policy=policy, containers=(container,)))
    known, _ = judged(cluster)
    table = dataclasses.replace(known, values={**known.values, a: {**known.of(a), "full_name": answer}})

    reported = [each for each in resolver.PROBE.judge(table) if "By its dnsPolicy" in each.sentence]

    assert [each.severity for each in reported] == severities


def dialling(
    *answers: dict[str, Any], host: str = "db", alias: str = "", line: str = "", **service: Any
) -> tuple[FactTable, list[Finding], Subject]:
    """A pod that is told to dial a host at 5432, and what its nameserver said to each way of completing the name."""
    cluster, a = cluster_of(DNS_IP)
    if service:
        add_service(cluster, "shop/db", (), ip="", **service)
    spec = cluster.pods[a].spec
    env = (EnvVar(name="DB_HOST", value=host), EnvVar(name="DB_PORT", value="5432"))
    aliases = (HostAlias(ip="192.0.2.9", hostnames=(alias,)),) if alias else ()
    cluster.pods[a] = replace(
        cluster.pods[a], spec=replace(spec, containers=(Container(env=env),), host_aliases=aliases)
    )
    if line:
        cluster.seen(a, hosts=(HostsLine(ip="192.0.2.9", names=(line,)),))
    for number, answer in enumerate(answers):
        ask(cluster, a, DNS_IP, f"{host}.{number}", asked=host, **answer)
    known, findings = judged(cluster)
    return known, findings, a


def test_a_name_that_the_pod_is_told_to_dial_and_nobody_knows():
    known, findings, a = dialling(NOT_FOUND, NOT_FOUND)

    assert known.of(a)["names_missing"] == ("db",)
    assert sentences(findings, Severity.FAIL) == [
        (
            "In shop/a on node-1 a name that it is configured to dial does not exist: "
            "its variable DB_HOST names db:5432, and no Service db is in shop."
        )
    ]


@pytest.mark.parametrize("host", ["db.", "db.shop.", "db.shop.svc."])
def test_an_absolute_name_is_not_that_of_the_service_which_it_begins_like(host: str):
    known, _, a = dialling(NOT_FOUND, host=host, port=5432)

    assert known.of(a)["names_missing"] == (host,)
    assert known.of(a)["names_missing_why"] == (
        (
            f"its variable DB_HOST names {host}:5432, absolute by the dot at its end, so that no search list completes "
            "it to Service shop/db"
        ),
    )


def test_the_full_name_of_a_service_may_be_absolute():
    known, _, a = dialling(NOT_FOUND, host="db.shop.svc.cluster.local.", port=5432)

    assert known.of(a)["names_missing"] == ()
    assert known.of(a)["names_not_found"] == ()


def test_an_alias_whose_own_name_is_gone():
    known, _, a = dialling(NOT_FOUND, NO_ADDRESS, type="ExternalName", external_name="db.old.svc.cluster.local")

    assert known.of(a)["names_missing_why"] == (
        (
            "its variable DB_HOST names db:5432, and Service shop/db is an alias (ExternalName) of "
            "db.old.svc.cluster.local"
        ),
    )


def test_an_alias_of_an_address_leads_nowhere():
    known, _, a = dialling(NOT_FOUND, NO_ADDRESS, type="ExternalName", external_name="192.0.2.20")

    (why,) = strings(known.of(a)["names_missing_why"])
    assert why.endswith(
        "of 192.0.2.20, an address, which no alias leads to (a Service without selector and an EndpointSlice do)"
    )


@pytest.mark.parametrize(
    ("answers", "fields"),
    [
        ((NOT_FOUND, {"rcode": "NOERROR", "answers": ("192.0.2.1",)}), {}),
        ((NOT_FOUND, {"outcome": "timeout"}), {}),
        ((NOT_FOUND, {"rcode": "SERVFAIL"}), {}),
        ((), {}),
        ((NOT_FOUND,), {"alias": "db"}),
        ((NOT_FOUND,), {"line": "db"}),
        ((NOT_FOUND,), {"host": "db.", "alias": "db"}),
        ((NOT_FOUND,), {"host": "db.", "line": "db"}),
        ((NOT_FOUND,), {"host": "db.example.com."}),
        ((NOT_FOUND,), {"host": "db.example.com"}),
        ((NOT_FOUND,), {"host": "db.elsewhere"}),
    ],
    ids=[
        *("found", "silence", "a broken server", "not asked", "an alias", "the hosts file", "an absolute alias"),
        *("an absolute name and the hosts file", "outside, absolute", "outside", "no namespace"),
    ],
)
def test_what_is_no_proof_that_a_name_is_missing(answers: tuple[dict[str, Any], ...], fields: dict[str, Any]):
    known, _, a = dialling(*answers, **fields)

    assert known.of(a)["names_missing"] == ()


def test_a_search_domain_with_a_wildcard_before_those_of_the_cluster():
    cluster, a = cluster_of(DNS_IP, search=("corp.example.com", *ZONE))
    wildcard = "kubernetes.default.corp.example.com"
    add_service(cluster, "default/kubernetes", (), ip=API_IP)
    cluster.tests["node-1"] = [
        dataclasses.replace(test, rcode="NOERROR", answers=("203.0.113.9",)) if test.name == wildcard else test
        for test in cluster.tests["node-1"]
    ]

    assert judged(cluster)[0].of(a)["wrong_names"] == (f"{wildcard} is 203.0.113.9",)
