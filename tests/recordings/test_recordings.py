"""Recordings of real clusters, judged again: what was done to each, and what is right.

Kubernetes 1.36.2, containerd 2.1.9, two nodes. A later agent reports more than these hold: then the verdict may be less
certain, never wrong.
"""

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from bot.diagnosis.judge import judge_recording
from bot.diagnosis.knowledge import Knowledge, load_knowledge
from bot.diagnosis.recording import load
from bot.domain.report import Report

HERE = Path(__file__).parent
BROKEN, HEALTHY, OPEN = "broken|degraded", "healthy", "inconclusive"


@dataclass(frozen=True, slots=True)
class Right:
    """What a verdict on a recording may be. Patterns match whole words."""

    status: str
    cause: str = ""
    """One of these is first; empty: none is named."""
    never: str = ""
    """None of these is confirmed or likely, as patterns of cause ids."""
    impossible: str = ""
    """None of these is even possible."""
    says: str = ""
    todo: bool = False
    """Not right yet."""


_TUNNEL = "overlay-.*|vtep-.*|fdb-.*|vxlan-.*"
CASES = {
    "bridge-exec-refused": Right(OPEN, says="406"),
    "bridge-healthy-default": Right(HEALTHY),
    "bridge-healthy-kube-system": Right(HEALTHY),
    "bridge-healthy-shop": Right(HEALTHY),
    "bridge-small-backlog": Right(BROKEN, "dns-down", never="service-backlog-overflow"),
    "bridge-ip-forward-0": Right(BROKEN, "node-forwarding-off", impossible=_TUNNEL),
    "bridge-forward-drop": Right(BROKEN, "forward-policy-drop"),
    "bridge-nft-drop": Right(BROKEN, "foreign-firewall-drops"),
    "bridge-mtu-black-hole": Right(BROKEN, "pmtu-black-hole"),
    "bridge-cross-route-missing": Right(BROKEN, "route-to-.*", impossible=_TUNNEL, says="node-1"),
    "bridge-node-default-route": Right(f"{BROKEN}|{OPEN}", ".*", says="default route"),
    "bridge-kube-proxy-gone": Right(BROKEN, "service-rules-missing", says="node-1"),
    "bridge-loopback": Right(BROKEN, "app-listens-on-loopback"),
    "flannel-healthy-shop": Right(HEALTHY),
    "flannel-healthy-hostnetwork-only": Right(f"{HEALTHY}|{OPEN}"),
    "flannel-healthy-rung-cni-agent": Right(f"{HEALTHY}|{OPEN}"),
    "flannel-vxlan-blocked-on-node": Right(BROKEN, "foreign-firewall-drops"),
    "flannel-vxlan-blocked-between": Right(BROKEN, "overlay-blocked-by-underlay"),
    "flannel-after-link-flap": Right(BROKEN, "route-to-remote-block-missing|vtep-neighbour-missing"),
    "flannel-fdb-missing": Right(BROKEN, "fdb-entry-missing"),
    "flannel-forward-drop-decoy": Right(HEALTHY),
    "flannel-cni-binary-crashes": Right(BROKEN, ".*", says="139|crash"),
    "flannel-cni-binary-missing": Right(BROKEN, "cni-plugin-missing"),
    "flannel-ipam-leak": Right(BROKEN, "ipam-leak"),
    "flannel-kubelet-stopped": Right(BROKEN, "kubelet-.*|node-.*", never="service-no-ready-endpoints"),
    "flannel-kube-proxy-nftables-healthy": Right(HEALTHY),
    "flannel-kube-proxy-nftables-gone": Right(BROKEN, "service-rules-missing", says="node-1"),
    "cilium-leftover-flannel": Right(BROKEN, "two-cnis-at-work", never="pmtu-.*|vtep-.*"),
    "cilium-healthy": Right(f"{HEALTHY}|{OPEN}", never=".*"),
    "cilium-healthy-ladder-cured": Right(HEALTHY),
    "cilium-healthy-rung-cni-agent": Right(f"{HEALTHY}|{OPEN}", impossible=".*"),
    "cilium-networkpolicy-deny": Right(BROKEN, "network-policy-denies", never="pmtu-.*"),
    "cilium-cnp-deny": Right(BROKEN, ".*polic.*", never="pod-route-missing"),
    "cilium-ip-forward-0": Right(BROKEN, "node-forwarding-off", never="pmtu-.*|overlay-.*"),
    "cilium-ipcache-stale": Right(f"{BROKEN}|{OPEN}", never="pmtu-.*|fdb-.*|vtep-.*", impossible="fdb-.*|vtep-.*"),
    "cilium-wrong-target-port": Right(BROKEN, "service-wrong-target-port"),
    "cilium-agent-gone": Right(BROKEN, "cni-agent-down", says="node-1"),
    "cilium-vxlan-down": Right(BROKEN, "overlay-device-down"),
    "cilium-vxlan-blocked": Right(BROKEN, "overlay-blocked-by-underlay"),
    "cilium-lxc-rp-filter": Right(BROKEN, "cilium-rp-filter-on-lxc"),
    "cilium-pods-outside-cgroup": Right(OPEN, impossible=".*", says="nothing translated the Service's address"),
    "cilium-agent-stopped": Right(BROKEN, "cni-agent-down", never="dns-udp-lost"),
    "cilium-rule-refuses-pods": Right(OPEN, impossible=".*", says="no route for them.* 50: from 10.244.0.0/24 unreach"),
}


@cache
def knowledge() -> Knowledge:
    return load_knowledge()


def wrong(report: Report, right: Right) -> list[str]:
    """What is not as it should be."""
    verdict, first = report.verdict, report.verdict.cause or ""
    found = [] if re.fullmatch(right.status, verdict.status) else [f"status {verdict.status}"]
    if right.cause and verdict.status != OPEN and not re.fullmatch(right.cause, first):
        found.append(f"first is {first or 'nothing'}")
    if verdict.status == HEALTHY and (first or any(each.severity == "fail" for each in report.findings)):
        found.append("something fails in a healthy cluster")
    for cause in report.causes:
        if cause.confidence in {"confirmed", "likely"} and re.fullmatch(right.never, cause.id):
            found.append(f"{cause.id} is {cause.confidence}")
        if cause.confidence in {"confirmed", "likely", "possible"} and re.fullmatch(right.impossible, cause.id):
            found.append(f"{cause.id} is {cause.confidence}, which cannot be here")
    parts = (verdict.summary, *(each.sentence for each in report.findings), *(str(each) for each in report.causes))
    return found if re.search(right.says, " ".join(parts)) else [*found, f"nothing about {right.says}"]


@pytest.mark.parametrize("name", CASES)
def test_judged_as_is_right(name: str, request: pytest.FixtureRequest) -> None:
    right = CASES[name]
    if right.todo:
        request.applymarker(pytest.mark.xfail(strict=True, reason="not right yet"))
    report = judge_recording(load(HERE / f"{name}.json.gz"), knowledge())

    assert wrong(report, right) == []


def test_every_recording_has_its_row() -> None:
    assert {path.name.removesuffix(".json.gz") for path in HERE.glob("*.json.gz")} == set(CASES)
