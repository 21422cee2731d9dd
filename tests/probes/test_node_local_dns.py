"""What becomes of questions to the node's own DNS cache."""

from typing import Any

import pytest

from bot.agent.report import Address, Firewall, FirewallChange, FirewallMatch, Listener
from bot.cluster.objects import ContainerState, ContainerStateWaiting, ContainerStatus
from bot.domain.facts import Subject
from bot.probes import dns
from tests.probes.build import FakeCluster, facts_of, two_nodes, unread

CACHE = "169.254.20.10"
LISTENS = Listener(protocol="udp", ip=CACHE, port=53)


def asking(cni: Any = "calico") -> tuple[FakeCluster, Subject]:
    """A pod that asks the cache of its node, of which nothing is there yet."""
    cluster, a, *_ = two_nodes(cni)
    cluster.seen(a, nameservers=(CACHE,))
    cluster.root("node-1", listeners=())
    return cluster, a


def cache(cluster: FakeCluster, node: str, *, is_ready: bool = True, host_network: bool = True, **status: Any) -> None:
    cluster.pod(
        f"kube-system/node-local-dns-{node}",
        node,
        host_network=host_network,
        is_ready=is_ready,
        labels={"k8s-app": "node-local-dns"},
        **status,
    )


def of(cluster: FakeCluster, pod: Subject) -> tuple[Any, Any]:
    known = facts_of(cluster.evidence(), dns.PROBE).of(pod)
    return known.get("node_local_dns"), known.get("node_local_dns_why")


def with_address(cluster: FakeCluster) -> None:
    own = cluster.roots["node-1"].addresses
    cluster.root("node-1", addresses=(*own, Address(dev="nodelocaldns", ip=CACHE, prefix_len=32)))


def test_a_pod_that_asks_the_service_asks_no_cache():
    cluster, a, *_ = two_nodes()
    cluster.seen(a, nameservers=("10.43.0.10",))

    assert of(cluster, a) == ("not-asked", "")


def test_where_something_listens_it_is_there_whoever_runs_it():
    cluster, a = asking()
    cluster.root("node-1", listeners=(LISTENS,))

    assert of(cluster, a)[0] == "listening"


def test_without_any_pod_of_it_it_is_not_installed():
    cluster, a = asking()

    assert of(cluster, a) == (
        "not-installed",
        f"nothing listens on {CACHE} on node-1, and no pod of NodeLocal DNSCache is in this cluster",
    )


def test_a_node_without_its_pod():
    cluster, a = asking()
    cache(cluster, "node-2")

    assert of(cluster, a)[0] == "no-pod"


def test_a_pod_of_it_that_crashes():
    cluster, a = asking()
    waiting = ContainerState(waiting=ContainerStateWaiting(reason="CrashLoopBackOff"))
    statuses = (ContainerStatus(name="main", state=waiting),)
    cache(cluster, "node-1", is_ready=False, container_statuses=statuses)

    assert of(cluster, a) == (
        "unready",
        "kube-system/node-local-dns-node-1, NodeLocal DNSCache's pod on node-1, is not ready (CrashLoopBackOff)",
    )


@pytest.mark.parametrize(("has_address", "state"), [(False, "no-address"), (True, "not-listening")])
def test_a_ready_pod_whose_address_or_socket_is_gone(*, has_address: bool, state: str):
    cluster, a = asking()
    cache(cluster, "node-1")
    if has_address:
        with_address(cluster)

    assert of(cluster, a)[0] == state


def test_behind_cilium_a_cache_with_its_own_network_needs_no_address():
    cluster, a = asking("cilium")
    cache(cluster, "node-1", host_network=False)

    assert of(cluster, a) == (None, None)


def test_pods_that_were_not_read_are_not_absent():
    cluster, a = asking()
    cluster.snapshot_fields["unobserved"] = (unread("pods", "Not allowed to list."),)

    assert of(cluster, a) == (None, None)


def test_sockets_that_were_not_read_are_not_absent():
    cluster, a = asking()
    cluster.root("node-1", listeners=None)

    assert of(cluster, a) == (None, None)


def test_a_removed_cache_that_left_the_service_s_address_on_the_node():
    cluster, a = asking()
    cluster.seen(a, nameservers=("10.43.0.10",))
    own = cluster.roots["node-1"].addresses
    cluster.root("node-1", addresses=(*own, Address(dev="nodelocaldns", ip="10.43.0.10", prefix_len=32)))

    assert of(cluster, a)[0] == "not-asked"

    cluster.root("node-1", firewall=Firewall(changes=(NOTRACK,)))

    assert of(cluster, a) == (
        "not-installed",
        "nothing listens on 10.43.0.10 on node-1, and no pod of NodeLocal DNSCache is in this cluster",
    )


NOTRACK = FirewallChange(
    backend="iptables-nft",
    family="ip",
    table="raw",
    chain="PREROUTING",
    kind="untracked",
    matches=(FirewallMatch(fields=("daddr",), values=("10.43.0.10",)),),
    text="ip daddr 10.43.0.10 udp dport 53 notrack",
)
