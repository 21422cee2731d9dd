"""What cnibot says of a real cluster that is healthy, and of one that is broken in a known way."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.architecture.manifests import manifests
from tests.e2e import workloads
from tests.e2e.cluster import Cluster, Manifest, wait_for
from tests.e2e.conftest import Bot, reached, settle
from tests.e2e.workloads import NAMESPACE

pytestmark = pytest.mark.usefixtures("workload")

LOWER_RUNGS = ("api", "exec", "cni-agent")
NO_OUTSIDE = "dns-upstream-unreachable"
"""What is named where pods find no outside names."""
POLICY_S = 15.0
"""How long a CNI may take to enforce a policy; after that it counts as one that does not."""


def named(report: dict[str, Any], cause: str, where: str = "") -> None:
    """This is the verdict's cause, it is sure of it, and it means this pod or node."""
    verdict = report["verdict"]
    assert verdict["status"] in {"broken", "degraded"}, verdict
    assert verdict["cause"] == cause, verdict
    assert verdict["confidence"] in {"confirmed", "likely"}, verdict
    subjects = next(each["subjects"] for each in report["causes"] if each["id"] == cause)
    assert not where or any(where in subject for subject in subjects), subjects


def healthy(*, has_outside: bool) -> str:
    """What is expected of a whole cluster, for the table."""
    return "healthy" if has_outside else "healthy, or no outside names"


def whole(report: dict[str, Any], *statuses: str, has_outside: bool) -> None:
    """Nothing is wrong, but for the outside where there is none."""
    verdict = report["verdict"]
    is_cut_off = not has_outside and verdict["cause"] in {None, NO_OUTSIDE}
    assert verdict["status"] in statuses or is_cut_off, verdict
    assert [item["sentence"] for item in report["findings"] if item["severity"] == "fail"] == []


@contextmanager
def unserved(cluster: Cluster, image: str, wrong: Manifest, *, servers: int = 2) -> Generator[None]:
    """This object in the place of the healthy one, so that nobody reaches the Service while the block runs."""
    try:
        cluster.apply(wrong)
        cluster.ready(NAMESPACE, "server", servers)
        settle(cluster, is_served=False)
        yield
    finally:
        cluster.apply(workloads.service())
        cluster.apply(workloads.server(image))
        cluster.ready(NAMESPACE, "server", 2)
        settle(cluster, is_served=True)


@pytest.mark.parametrize("rung", LOWER_RUNGS)
def test_no_lower_rung_sees_a_fault_in_a_healthy_namespace(bot: Bot, rung: str, *, has_outside: bool) -> None:
    report = bot.diagnose(f"healthy, {rung}", "no fault", rung)

    whole(report, "healthy", "inconclusive", has_outside=has_outside)
    if rung == "exec":
        assert report["coverage"]["access"] == "exec"
        assert report["coverage"]["pods_observed"] > 0


def test_healthy_is_said_when_every_pod_and_node_was_seen(bot: Bot, *, has_outside: bool) -> None:
    report = bot.diagnose("healthy", healthy(has_outside=has_outside))

    whole(report, "healthy", has_outside=has_outside)
    coverage = report["coverage"]
    assert coverage["access"] == "agent", coverage
    assert coverage["pods_observed"] == coverage["pods_total"], coverage


def test_the_server_takes_everything_that_deploy_would_create(cluster: Cluster, bot: Bot) -> None:
    """Asked only, nothing is kept. What belongs to somebody else's operator is left out where there is none."""
    items = [item for _, item in manifests() if cluster.serves(item)]

    for item in items:
        cluster.apply(item, is_dry_run=True)

    assert {"ConfigMap", "Deployment", "DaemonSet", "ClusterRole"} <= {item["kind"] for item in items}


def test_a_wrong_target_port_is_named(cluster: Cluster, bot: Bot, image: str) -> None:
    with unserved(cluster, image, workloads.service(target_port=workloads.NOBODY_LISTENS)):
        report = bot.diagnose("wrong targetPort", "service-wrong-target-port")

    named(report, "service-wrong-target-port")


def test_a_service_scaled_to_zero_is_named(cluster: Cluster, bot: Bot, image: str) -> None:
    with unserved(cluster, image, workloads.server(image, replicas=0), servers=0):
        report = bot.diagnose("scaled to zero", "service-no-ready-endpoints")

    named(report, "service-no-ready-endpoints")


def test_a_denying_policy_is_named_where_it_is_enforced(cluster: Cluster, bot: Bot) -> None:
    """Whether it is, the packets tell: many CNIs take policies and do nothing."""
    address = cluster.pods(NAMESPACE, "server")[0].status.pod_ip
    with cluster.applied(workloads.deny_all()):
        try:
            wait_for("the policy", lambda: not any(reached(cluster, address)), within_s=POLICY_S)
            is_enforced = True
        except AssertionError:
            is_enforced = False
        expected = "network-policy-denies" if is_enforced else "no cause (not enforced here)"
        report = bot.diagnose("denying policy", expected)
    settle(cluster, is_served=True)

    if is_enforced:
        named(report, "network-policy-denies")
    else:
        assert report["verdict"]["cause"] in {None, NO_OUTSIDE}, report["verdict"]


def test_a_wrong_dns_policy_is_named(cluster: Cluster, bot: Bot, image: str, privileged: str) -> None:
    """A pod with its node's network, which asks for a name of the cluster and means its node's resolver."""
    with cluster.applied(workloads.resolver(image)):
        cluster.ready(privileged, "resolver", 1)
        cause = "host-network-pod-uses-node-dns"
        report = bot.diagnose("wrong DNS policy", cause, namespace=privileged)

    named(report, cause)


def test_a_dns_policy_that_skips_the_clusters_dns_is_named(cluster: Cluster, bot: Bot, image: str) -> None:
    with cluster.applied(workloads.lost(image)):
        cluster.ready(NAMESPACE, "lost", 1)
        cause = "pod-dns-policy-skips-cluster-dns"
        report = bot.diagnose("dnsPolicy Default", cause)

    named(report, cause, "lost")


@contextmanager
def broken_node(cluster: Cluster, name: str, image: str, node: str, apply: str, undo: str) -> Generator[None]:
    """A node that a privileged pod breaks while the block runs."""
    pod = workloads.node_fault(name, image, node, apply=apply, undo=undo, lives_s=240)

    def is_applied() -> bool:
        return "applied" in cluster.log(workloads.PRIVILEGED, name).split()

    def complaint() -> str:
        phase = cluster.phase(workloads.PRIVILEGED, name)
        return f"{phase} {cluster.log(workloads.PRIVILEGED, name)}"

    with cluster.applied(pod):
        wait_for(f"{name} to be applied", is_applied, within_s=60, complaint=complaint)
        yield
    settle(cluster, is_served=True)


@pytest.mark.usefixtures("node_faults")
class TestNodeFaults:
    """Each on the node of one server, and undone by the end of the pod that did it."""

    def test_a_host_link_that_is_down_is_named(self, cluster: Cluster, bot: Bot, image: str) -> None:
        """The kernel forgets a link's routes when it goes down, and not every CNI writes them again at once."""
        server = cluster.pods(NAMESPACE, "server")[0]
        index = cluster.run(NAMESPACE, server.metadata.name, "sh", "-c", workloads.PEER).strip()
        assert index.isdecimal(), index
        apply = f"""\
link=$(ip -o link | sed -n 's/^{index}: \\([^@:]*\\).*/\\1/p')
routes=$(ip -4 route show dev "$link"; ip -6 route show dev "$link")
ip link set "$link" down"""
        undo = """\
ip link set "$link" up
echo "$routes" | while read -r route; do [ -z "$route" ] || ip route replace $route dev "$link"; done"""

        with broken_node(cluster, "link-down", image, server.spec.node_name, apply, undo):
            report = bot.diagnose("host link down", "host-veth-down")

        named(report, "host-veth-down", server.metadata.name)

    def test_a_foreign_rule_that_drops_is_named(self, cluster: Cluster, bot: Bot, image: str) -> None:
        server = cluster.pods(NAMESPACE, "server")[0]
        drop = f"ip daddr {server.status.pod_ip} counter drop"
        table = f"table inet e2e_fault {{ chain c {{ type filter hook forward priority filter; {drop}; }}; }}"

        with broken_node(
            cluster, "rule", image, server.spec.node_name, f"nft '{table}'", "nft delete table inet e2e_fault"
        ):
            if all(reached(cluster, server.status.pod_ip)):
                pytest.skip("packets to this pod do not pass the kernel's forwarding here")
            report = bot.diagnose("foreign rule drops", "foreign-firewall-drops")

        named(report, "foreign-firewall-drops")

    def test_forwarding_that_is_off_is_named(self, cluster: Cluster, bot: Bot, image: str) -> None:
        server = cluster.pods(NAMESPACE, "server")[0]
        switch = "/proc/sys/net/ipv4/ip_forward"

        with broken_node(
            cluster, "forwarding", image, server.spec.node_name, f"echo 0 > {switch}", f"echo 1 > {switch}"
        ):
            if all(reached(cluster, server.status.pod_ip)):
                pytest.skip("packets to this pod do not need the node's forwarding here")
            report = bot.diagnose("forwarding off", "node-forwarding-off")

        named(report, "node-forwarding-off", server.spec.node_name)

    def test_all_is_healthy_again(self, bot: Bot, *, has_outside: bool) -> None:
        report = bot.diagnose("after all faults", healthy(has_outside=has_outside))

        whole(report, "healthy", has_outside=has_outside)
