"""Packet filters of every backend: found by the kernel's word, read by their tools, reduced to drops and Services."""

import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from bot.agent.netns import Home
from bot.agent.report import Firewall, FirewallRule, NodeReport, ServicePort, ServiceRules, Target
from bot.agent.tools import ToolError, run_tool
from tests.agent.nodes import Node, calico_node, is_root, pod_of, why_no_namespaces

pytestmark = [pytest.mark.lab, pytest.mark.skipif(bool(why_no_namespaces()), reason=why_no_namespaces())]

NFT = """
table ip kube-proxy {
  map no-endpoint-services {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.43.0.1 . tcp . 80 : goto reject-chain }
  }
  map service-ips {
    type ipv4_addr . inet_proto . inet_service : verdict
    elements = { 10.43.0.2 . udp . 53 : goto service-dns }
  }
  chain reject-chain {
    reject
  }
  chain service-dns {
    numgen random mod 2 vmap { 0 : goto endpoint-a, 1 : goto endpoint-b }
  }
  chain endpoint-a {
    meta l4proto udp dnat to 10.42.0.3:53
  }
  chain endpoint-b {
    meta l4proto udp dnat to 10.42.1.3:53
  }
  chain services {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr . meta l4proto . th dport vmap @service-ips
    ip daddr 10.43.0.3 tcp dport { 80, 443 } dnat ip addr . port to numgen random mod 1 map { 0 : 10.42.0.8 . 8080 }
    ip daddr 10.43.0.4 tcp dport 80 dnat to 10.42.0.9
    ip daddr . th dport vmap { 10.43.0.5 . 80 : goto reject-chain }
  }
  chain filter {
    type filter hook forward priority 0; policy drop;
    ip daddr . meta l4proto . th dport vmap @no-endpoint-services
    accept
  }
}
"""
IPTABLES = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:cali-fw-cali0 - [0:0]
-A FORWARD -j KUBE-SERVICES
-A FORWARD -j cali-fw-cali0
-A cali-fw-cali0 -d 198.51.100.10/32 -m comment --comment "not -j ACCEPT" -j DROP
-A KUBE-SERVICES -d 10.43.0.1/32 -p tcp -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable
-A FORWARD -j ACCEPT
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-A - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SEP-B - [0:0]
-A PREROUTING -j KUBE-SERVICES
-A KUBE-SERVICES -d 10.43.0.2/32 -p udp -m udp --dport 53 -j KUBE-SVC-A
-A KUBE-SVC-A -m statistic --mode random --probability 0.5 -j KUBE-SEP-A
-A KUBE-SVC-A -j KUBE-SEP-B
-A KUBE-SEP-A -p udp -m udp -j DNAT --to-destination 10.42.0.3:53
-A KUBE-SEP-B -p udp -m udp -j DNAT --to-destination 10.42.1.3:53
COMMIT
"""
SERVICES = (
    ServicePort(name="shop/empty:80", ip="10.43.0.1", port=80, protocol="tcp"),
    ServicePort(name="kube-system/dns:53", ip="10.43.0.2", port=53, protocol="udp"),
    ServicePort(name="kube-system/dns:53-tcp", ip="10.43.0.2", port=53, protocol="tcp"),
    ServicePort(name="shop/map:443", ip="10.43.0.3", port=443, protocol="tcp"),
    ServicePort(name="shop/plain:80", ip="10.43.0.4", port=80, protocol="tcp"),
    ServicePort(name="shop/inline:80", ip="10.43.0.5", port=80, protocol="tcp"),
    ServicePort(name="shop/unknown:80", ip="10.43.0.99", port=80, protocol="tcp"),
)


def look(node: Node) -> NodeReport:
    return node.look(node.task(arp_tries=0, services=SERVICES))


def firewall_of(report: NodeReport) -> Firewall:
    assert report.root.firewall
    return report.root.firewall


def services_of(report: NodeReport) -> dict[str, tuple[int, bool, tuple[str, ...]]]:
    assert report.service_rules is not None
    return {one.name: (one.mentions, one.has_reject, one.backends) for one in report.service_rules}


def test_no_rules_at_all_is_an_empty_firewall_and_no_mention():
    with calico_node([{}]) as node:
        report = look(node)

        assert report.root.firewall == Firewall()
        assert report.service_rules is not None
        assert {one.mentions for one in report.service_rules} == {0}
        assert report.service_rules[0] == ServiceRules(name="shop/empty:80", ip="10.43.0.1", port=80, protocol="tcp")
        state = pod_of(report, node.pods[0]).state
        assert state
        assert state.firewall == Firewall()


def test_nftables_maps_lead_services_to_their_backends_and_rejects():
    with calico_node([{}]) as node:
        node.nft(NFT)
        report = look(node)

        assert services_of(report) == {
            "shop/empty:80": (1, True, ()),
            "kube-system/dns:53": (1, False, ("10.42.0.3:53", "10.42.1.3:53")),
            "kube-system/dns:53-tcp": (0, False, ()),
            "shop/map:443": (1, False, ("10.42.0.8:8080",)),
            "shop/plain:80": (1, False, ("10.42.0.9",)),
            "shop/inline:80": (1, True, ()),
            "shop/unknown:80": (0, False, ()),
        }
        chains = {chain.chain: chain for chain in firewall_of(report).chains}
        assert (chains["filter"].hook, chains["filter"].policy, chains["filter"].rules) == ("forward", "drop", 2)
        assert chains["services"].priority == -100
        assert firewall_of(report).foreign_chains == ("table kube-proxy",)


@pytest.mark.parametrize("backend", ["iptables-nft", "iptables-legacy"])
def test_iptables_of_both_backends(backend: str):
    restore = shutil.which(f"{backend}-restore", path="/usr/sbin:/sbin")
    if restore is None:
        pytest.skip(f"{backend} is not installed")
    with calico_node([{}]) as node:
        node.namespaces.run(node.number, restore, text=IPTABLES)
        outside = Target(purpose="outside", ip="198.51.100.10", name="outside")
        report = node.look(node.task(outside, arp_tries=0, services=SERVICES, patience_s=0.3))

        services = services_of(report)
        assert services["shop/empty:80"] == (1, True, ())
        assert services["kube-system/dns:53"] == (1, False, ("10.42.0.3:53", "10.42.1.3:53"))
        assert services["kube-system/dns:53-tcp"] == (0, False, ())
        firewall = firewall_of(report)
        assert firewall.drops_total == 2
        drops = {drop.chain: drop for drop in firewall.drops}
        assert drops["cali-fw-cali0"] == FirewallRule(
            backend=backend,  # pyright: ignore[reportArgumentType]
            family="ip",
            table="filter",
            chain="cali-fw-cali0",
            verdict="drop",
            text='-A cali-fw-cali0 -d 198.51.100.10/32 -m comment --comment "not -j ACCEPT" -j DROP',
            packets=1,
            packets_delta=1,
        )
        assert drops["KUBE-SERVICES"].verdict == "reject with icmp-port-unreachable"
        forward = next(chain for chain in firewall.chains if chain.chain == "FORWARD")
        assert (forward.backend, forward.policy, forward.hook, forward.rules) == (backend, "drop", "forward", 3)
        assert firewall.foreign_chains == ("KUBE-SEP-*", "KUBE-SERVICES", "KUBE-SVC-*", "cali-fw-*")


def test_both_backends_of_iptables_active_at_once_are_both_seen():
    tools = [shutil.which(f"iptables-{kind}", path="/usr/sbin:/sbin") for kind in ("nft", "legacy")]
    if None in tools:
        pytest.skip("not both backends of iptables are installed")
    with calico_node([{}]) as node:
        for tool in tools:
            node.namespaces.run(node.number, tool or "", "-A", "FORWARD", "-s", "192.0.2.1", "-j", "DROP")
        report = look(node)

        assert {drop.backend for drop in firewall_of(report).drops} == {"iptables-nft", "iptables-legacy"}


def test_a_table_that_nft_wrote_under_a_name_of_iptables_is_read_by_nft():
    """iptables-save ends well on it, and prints nothing but that it is incompatible."""
    foreign = """table ip filter {
  chain FORWARD {
    type filter hook forward priority filter; policy drop;
    oifname "docker0" ct state established,related accept
  }
}"""
    with calico_node([{}]) as node:
        node.nft(foreign)
        firewall = firewall_of(look(node))

        (forward,) = firewall.chains
        assert (forward.backend, forward.table, forward.hook, forward.policy) == ("nft", "filter", "forward", "drop")


def test_without_tools_the_firewall_is_unobserved_and_the_report_says_so(monkeypatch: pytest.MonkeyPatch):
    if not is_root():
        pytest.skip("the agent runs in this process only as root")
    with calico_node([{}]) as node:
        node.nft(NFT)
        node.namespaces.run(node.number, "nft", "add", "table", "ip", "filter")
        monkeypatch.setenv("PATH", "/nonexistent")
        monkeypatch.setattr("bot.agent.tools.SEARCH_PATH", "/nonexistent")
        report = look(node)

        assert report.root.firewall is None
        assert report.service_rules is None
        assert {(one.what, one.why) for one in report.missing} == {
            ("root.firewall.nft", "nft is not installed"),
            ("root.firewall.iptables-nft.ip", "iptables-nft-save is not installed"),
        }


def test_a_tool_that_fails_hangs_or_floods_is_ended_and_named(tmp_path: Path):
    home = Home()

    async def run(script: str, limit_s: float) -> bytes:
        tool = tmp_path / "tool"
        tool.write_text(f"#!/bin/sh\n{script}\n")
        tool.chmod(0o755)
        with ThreadPoolExecutor(1) as threads:
            return await run_tool(home, home.fd, [str(tool)], limit_s, threads)

    try:
        assert asyncio.run(run("echo fine", 5)) == b"fine\n"
        with pytest.raises(ToolError, match="tool: no such table"):
            asyncio.run(run("echo no such table >&2; exit 1", 5))
        with pytest.raises(ToolError, match="tool: exit code 3"):
            asyncio.run(run("exit 3", 5))
        with pytest.raises(ToolError, match=r"tool took longer than 0\.2 s"):
            asyncio.run(run("sleep 60; true", 0.2))
        with pytest.raises(ToolError, match="tool printed more than 16 MiB"):
            asyncio.run(run("exec cat /dev/zero", 30))
    finally:
        home.close()


def test_of_pods_that_are_no_sources_a_few_are_read_with_tools_and_the_others_counted(monkeypatch: pytest.MonkeyPatch):
    if not is_root():
        pytest.skip("the agent runs in this process only as root")
    monkeypatch.setattr("bot.agent.collect.OTHER_PODS_FILTERS", 0)
    with calico_node() as node:
        _, other = node.pods
        node.namespaces.run(other.number, "nft", "add", "table", "ip", "mesh")
        pods = tuple(pod.task_pod for pod in node.pods)
        task = node.task(arp_tries=0, pods=(pods[0], replace(pods[1], is_source=False)))
        report = node.look(task)

        state = pod_of(report, other).state
        assert state
        assert state.firewall is None
        assert [(one.what, one.why) for one in report.missing] == [
            ("pods.firewall", "1 more pods that are no sources have packet filters of their own")
        ]


BESIDE_IPTABLES = """
table ip filter {
  chain verdicts { drop; }
  chain guard { type filter hook forward priority 0; policy accept; tcp dport 9004 counter jump verdicts; }
}
table ip nat {
  chain output { type nat hook output priority -100; policy accept; tcp dport 9004 redirect to :15001; }
}
"""


@pytest.mark.parametrize("is_saved", [True, False])
def test_hooks_that_iptables_does_not_know_are_read_in_tables_that_it_does(*, is_saved: bool):
    """iptables-save prints such a table, and leaves out the hooks that somebody added to it with nft."""
    tool = shutil.which("iptables-nft", path="/usr/sbin:/sbin")
    if tool is None:
        pytest.skip("iptables-nft is not installed")
    with calico_node([{}]) as node:
        if is_saved:
            node.namespaces.run(node.number, tool, "-A", "FORWARD", "-p", "tcp", "--dport", "7777", "-j", "DROP")
        node.nft(BESIDE_IPTABLES)
        firewall = firewall_of(look(node))

        hooks = {(chain.table, chain.chain) for chain in firewall.chains}
        assert hooks >= {("filter", "guard"), ("nat", "output")}
        drops = sorted((rule.chain, rule.verdict) for rule in firewall.drops)
        assert drops == [*([("FORWARD", "drop")] if is_saved else []), ("verdicts", "drop")]
        assert {step.verdict for step in firewall.steps or ()} >= {"redirect :15001", "jump verdicts", "drop"}
