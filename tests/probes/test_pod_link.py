"""Both ends of a pod's link, its address, and what is said about them."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import Address, FdbEntry, Firewall, FirewallChain, FirewallRule, Link, Neighbour
from bot.domain import facts
from bot.domain.facts import Rung
from bot.domain.finding import Severity, SymptomKind
from bot.probes import pod_link
from tests.probes.build import FakeCluster, facts_of, missing, sentences, two_nodes

OWN, WRONG = "02:00:00:00:00:01", "5a:10:2d:6e:77:01"


def link_facts(cluster: FakeCluster, pod: facts.Subject) -> dict[str, Any]:
    return dict(facts_of(cluster.evidence(), pod_link.PROBE).of(pod))


def test_a_healthy_calico_pod_is_plugged_in() -> None:
    cluster, a, _, _ = two_nodes("calico")

    assert link_facts(cluster, a) == {
        "netns_found": True,
        "eth0": "up",
        "has_arp": True,
        "address_matches": True,
        "mtu_bytes": 1450,
        "host_link": "up",
        "host_link_kind": "calico",
        "host_mac_is_ee": True,
        "host_has_arp": True,
        "host_master": "",
        "bridge_port": "none",
        "bridge_isolated": False,
        "bridge_muted": False,
        "static_entries_wrong": (),
        "host_otherhost_delta": 0,
        "host_rx_delta": 0,
        "host_tx_delta": 0,
        "ipv6_dad_failed": False,
    }


@pytest.mark.parametrize(
    ("cni", "kind", "master", "port"),
    [("flannel", "bridge-port", "cni0", "forwarding"), ("cilium", "lxc", "", "none")],
)
def test_other_networks_are_told_apart_by_the_node_end(cni: Any, kind: str, master: str, port: str) -> None:
    cluster, a, _, _ = two_nodes(cni)

    seen = link_facts(cluster, a)

    assert (seen["host_link_kind"], seen["host_master"], seen["bridge_port"]) == (kind, master, port)


@pytest.mark.parametrize(
    ("pod_end", "host_end", "expected", "sentence"),
    [
        (
            {"is_up": False, "has_carrier": False},
            {"has_carrier": False},
            ("down", "up"),
            "The network link of shop/a on node-1 is broken: eth0 inside the pod is down.",
        ),
        (
            {"has_carrier": False},
            {"is_up": False, "has_carrier": False},
            ("no-carrier", "down"),
            "The network link of shop/a on node-1 is broken: the node's end of the link is down.",
        ),
        (
            {"has_carrier": False},
            {"name": "elsewhere", "ifindex": 999},
            ("no-carrier", "missing"),
            "The network link of shop/a on node-1 is broken: the node's end of the link does not exist.",
        ),
        (
            {"name": "other0"},
            {"name": "elsewhere", "ifindex": 999},
            ("missing", "missing"),
            (
                "The network link of shop/a on node-1 is broken: there is no eth0 inside the pod and "
                "the node's end of the link does not exist."
            ),
        ),
    ],
)
def test_a_broken_end_is_named(
    pod_end: dict[str, Any], host_end: dict[str, Any], expected: tuple[str, str], sentence: str
) -> None:
    cluster, a, _, _ = two_nodes()
    state = cluster.report_of(a).state
    assert state is not None
    links = tuple(replace(link, **pod_end) if link.name == "eth0" else link for link in state.links)
    addresses = () if "name" in pod_end else state.addresses
    cluster.inside(a, links=links, addresses=addresses)
    cluster.host_link(a, **host_end)

    table = facts_of(cluster.evidence(), pod_link.PROBE)
    failures = [each for each in pod_link.judge(table) if each.severity is Severity.FAIL]

    assert (table.of(a)["eth0"], table.of(a)["host_link"]) == expected
    assert sentences(failures) == [sentence]
    assert failures[0].symptom is not None
    assert (failures[0].symptom.kind, failures[0].symptom.subject) == (SymptomKind.POD_LINK_DOWN, a)


def test_an_address_that_the_api_does_not_know_is_a_failure() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.inside(a, addresses=(Address(dev="eth0", ip="10.99.0.1", prefix_len=32),))

    table = facts_of(cluster.evidence(), pod_link.PROBE)

    assert table.of(a)["address_matches"] is False
    assert sentences(pod_link.judge(table), Severity.FAIL) == [
        (
            "The network link of shop/a on node-1 is broken: "
            "no interface of the pod carries the address that the API gives it."
        )
    ]


def test_healthy_pods_of_a_node_share_one_sentence() -> None:
    cluster = FakeCluster()
    cluster.node("node-1")
    for number in range(7):
        cluster.pod(f"shop/p{number}", "node-1")

    findings = pod_link.judge(facts_of(cluster.evidence(), pod_link.PROBE))

    assert sentences(findings) == [
        (
            "The network links of all 7 pods on node-1 (shop/p0, shop/p1, shop/p2, shop/p3, shop/p4 and 2 more) "
            "are up on both ends, with the addresses that the API knows."
        )
    ]
    assert findings[0].severity is Severity.PASS
    assert findings[0].subject == facts.node("node-1")


def test_a_whole_node_without_links_is_one_finding_whose_flows_name_the_pods() -> None:
    cluster, a, b, _ = two_nodes()
    for pod in (a, b):
        cluster.host_link(pod, is_up=False)

    failures = [
        each for each in pod_link.judge(facts_of(cluster.evidence(), pod_link.PROBE)) if each.severity is Severity.FAIL
    ]

    assert sentences(failures) == [
        "The network link of both pods on node-1 (shop/a, shop/b) is broken: the node's end of the link is down."
    ]
    symptom = failures[0].symptom
    assert symptom is not None
    assert symptom.subject == facts.node("node-1")
    assert [flow.source for flow in symptom.flows] == [a, b]


@pytest.mark.parametrize(
    ("cni", "fields", "is_wrong"),
    [
        ("calico", {"neighbours": (Neighbour(ip="10.42.1.10", dev="cali1", mac=WRONG, state="PERMANENT"),)}, True),
        ("calico", {"neighbours": (Neighbour(ip="10.42.1.10", dev="cali1", mac=WRONG, state="STALE"),)}, False),
        ("calico", {"neighbours": (Neighbour(ip="10.42.1.10", dev="eth0", mac=WRONG, state="PERMANENT"),)}, False),
        ("flannel", {"neighbours": (Neighbour(ip="10.42.1.10", dev="cni0", mac=WRONG, state="PERMANENT"),)}, True),
        ("flannel", {"fdb": (FdbEntry(dev="veth2", mac=OWN, state="NOARP"),)}, True),
        ("flannel", {"fdb": (FdbEntry(dev="veth2", mac=OWN, state="REACHABLE"),)}, False),
        ("flannel", {"fdb": (FdbEntry(dev="veth1", mac=OWN, state="NOARP"),)}, False),
    ],
)
def test_entries_on_the_node_that_somebody_set(cni: Any, fields: dict[str, Any], is_wrong: bool) -> None:  # noqa: FBT001
    cluster, a, _, _ = two_nodes(cni)
    cluster.root("node-1", **fields)

    found = link_facts(cluster, a)["static_entries_wrong"]

    assert bool(found) is is_wrong


@pytest.mark.parametrize(
    ("flags", "entries", "expected"),
    [
        ({"is_learning": False, "is_flooded": False}, (), True),
        ({"is_learning": False, "is_flooded": False}, (FdbEntry(dev="veth2", mac=OWN, state="NOARP"),), True),
        ({"is_learning": False, "is_flooded": False}, (FdbEntry(dev="veth1", mac=WRONG, state="PERMANENT"),), True),
        ({"is_learning": False, "is_flooded": False}, (FdbEntry(dev="veth1", mac=OWN, state="NOARP"),), False),
        ({"is_learning": False, "is_flooded": False}, (FdbEntry(dev="veth1", mac=OWN, state="REACHABLE"),), False),
        ({"is_learning": True, "is_flooded": False}, (), False),
        ({"is_learning": False, "is_flooded": True}, (), False),
        ({"is_learning": False, "is_flooded": None}, (), None),
        ({"is_learning": None, "is_flooded": None}, (), None),
    ],
    ids=[
        *("flags off", "an entry elsewhere", "the port's own entry", "a static entry as hardened bridges have"),
        *("learnt before", "it learns", "it is flooded", "one flag not read", "no flag read"),
    ],
)
def test_a_port_that_neither_learns_nor_is_flooded_needs_an_entry(
    flags: dict[str, Any],
    entries: tuple[FdbEntry, ...],
    expected: bool | None,  # noqa: FBT001
) -> None:
    cluster, a, _, _ = two_nodes("flannel")
    cluster.host_link(a, **flags)
    cluster.root("node-1", fdb=entries)

    assert link_facts(cluster, a).get("bridge_muted") is expected


def test_a_forwarding_table_that_was_not_read_says_nothing_of_a_muted_port() -> None:
    cluster, a, _, _ = two_nodes("flannel")
    cluster.host_link(a, is_learning=False, is_flooded=False)
    cluster.node_report("node-1", missing=(missing("root.fdb", "the dump was refused"),))

    table = facts_of(cluster.evidence(), pod_link.PROBE)

    assert "bridge_muted" not in table.of(a)
    assert table.why_unobserved(a, "bridge_muted") == "the dump was refused"


def test_what_was_not_looked_at_is_missing_with_its_reason_and_never_a_default() -> None:
    cluster, _, _, c = two_nodes()
    cluster.unseen("node-2", "the agent did not start in 5 s")

    table = facts_of(cluster.evidence(), pod_link.PROBE)

    assert table.of(c) == {}
    assert table.why_unobserved(c, "eth0") == "the agent did not start in 5 s"
    assert sentences(pod_link.judge(table), Severity.INCONCLUSIVE) == [
        "The network link of shop/c could not be observed: the agent did not start in 5 s."
    ]


def test_a_namespace_that_our_agent_did_not_find_is_a_fact() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.seen(a, is_found=False, why_not="no process of the pod was found", state=None)

    table = facts_of(cluster.evidence(), pod_link.PROBE)

    assert table.of(a) == {"netns_found": False}
    assert table.why_unobserved(a, "eth0") == "no process of the pod was found"


def test_from_inside_the_pod_alone_the_node_end_stays_unknown() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.rungs["node-1"] = Rung.EXEC
    cluster.root("node-1", links=(), addresses=(), sysctls={})
    cluster.seen(a, host_link="")

    table = facts_of(cluster.evidence(), pod_link.PROBE)

    assert table.of(a)["eth0"] == "up"
    assert "host_link" not in table.of(a)
    assert table.why_unobserved(a, "host_link") == "the node's interfaces were not read"
    assert sentences(pod_link.judge(table), Severity.PASS)[0] == (
        "The network links of both pods on node-1 (shop/a, shop/b) are up, with the addresses that the API knows."
    )


def test_the_other_end_of_a_macvlan_is_not_looked_for() -> None:
    cluster, a, _, _ = two_nodes()
    cluster.inside(
        a, links=(Link(ifindex=3, name="eth0", kind="macvlan", is_up=True, has_carrier=True, peer_ifindex=2),)
    )
    cluster.seen(a, host_link="")

    table = facts_of(cluster.evidence(), pod_link.PROBE)

    assert table.why_unobserved(a, "host_link") == "eth0 is a macvlan device: it has no end of its own on the node"
    assert sentences(pod_link.judge(table), Severity.FAIL) == []


@pytest.mark.parametrize(("kind", "has_arp"), [("veth", False), ("macvlan", False), ("netkit", None), ("ipvlan", None)])
def test_arp_is_missed_by_the_kinds_of_link_that_need_it(kind: str, has_arp: bool | None) -> None:  # noqa: FBT001
    cluster, a, _, _ = two_nodes()
    own = Link(ifindex=2, name="eth0", kind=kind, is_up=True, has_carrier=True, has_arp=False, peer_ifindex=101)
    cluster.inside(a, links=(own,))

    assert facts_of(cluster.evidence(), pod_link.PROBE).of(a).get("has_arp") is has_arp


def test_rules_inside_the_pod_and_failed_ipv6_addresses_are_mentioned() -> None:
    cluster, a, _, c = two_nodes()
    rule = FirewallRule(backend="nft", family="ip", table="filter", chain="OUTPUT", verdict="drop", text="drop")
    chain = FirewallChain(backend="nft", family="ip", table="filter", chain="OUTPUT", hook="output")
    cluster.inside(a, firewall=Firewall(chains=(chain,), drops=(rule, rule), drops_total=2))
    cluster.inside(
        c,
        addresses=(
            Address(dev="eth0", ip="10.42.2.10", prefix_len=32),
            Address(dev="eth0", ip="fd00::2", prefix_len=64, family=6, flags=("dadfailed",)),
        ),
    )

    table = facts_of(cluster.evidence(), pod_link.PROBE)

    assert (table.of(a)["firewall_present"], table.of(a)["firewall_drops"]) == (True, 2)
    assert table.of(c)["ipv6_dad_failed"] is True
    assert sentences(pod_link.judge(table), Severity.INFO, Severity.WARN) == [
        "On shop/a on node-1, 2 rules inside the pod's own network namespace can drop packets.",
        "On shop/c on node-2, an IPv6 address failed duplicate address detection and is not used.",
    ]
