"""Whose a plugin is, and where a node's configuration names it."""

import json

import pytest

from bot.agent.report import CniFile
from bot.probes.pod_sandbox.owners import Entry, entry_of, owner_of

_CALICO = {
    "type": "calico",
    "ipam": {"type": "calico-ipam"},
    "kubernetes": {"kubeconfig": "/etc/cni/net.d/calico-kubeconfig"},
}
_MESH = {"type": "istio-cni", "kubernetes": {"kubeconfig": "/etc/cni/net.d/ZZZ-istio-cni-kubeconfig"}}
_LIST = {"name": "k8s-pod-network", "plugins": [_CALICO, {"type": "portmap"}, _MESH]}


def _file(path: str, value: object) -> CniFile:
    return CniFile(path=path, text=json.dumps(value))


@pytest.mark.parametrize(
    ("plugin", "cni", "expected"),
    [
        ("calico", "calico", "own"),
        ("calico-ipam", "calico", "own"),
        ("flannel", "calico", "foreign"),
        ("istio-cni", "calico", "foreign"),
        ("istio-cni", "unknown", "unknown"),
        ("cilium-cni", "unknown", "own"),
        ("portmap", "cilium", "reference"),
        ("multus", "calico", "meta"),
        ("", "calico", "unknown"),
    ],
)
def test_owner(plugin: str, cni: str, expected: str):
    assert owner_of(plugin, cni) == expected


def test_the_entry_is_the_first_file_that_names_the_plugin_and_its_kubeconfig():
    files = (_file("/etc/cni/net.d/99-old.conf", _CALICO), _file("/etc/cni/net.d/10-calico.conflist", _LIST))

    assert entry_of("calico", files) == Entry(
        "/etc/cni/net.d/10-calico.conflist", is_first=True, kubeconfig="/etc/cni/net.d/calico-kubeconfig"
    )
    assert entry_of("istio-cni", files) == Entry(
        "/etc/cni/net.d/10-calico.conflist", is_first=False, kubeconfig="/etc/cni/net.d/ZZZ-istio-cni-kubeconfig"
    )
    assert entry_of("calico-ipam", files) == entry_of("calico", files)
    assert entry_of("linkerd-cni", files) is None


def test_a_file_that_cannot_be_parsed_still_names_its_plugins():
    assert entry_of("multus", (CniFile(path="/etc/cni/net.d/00-multus.conf", text="{", plugins=("multus",)),)) == Entry(
        "/etc/cni/net.d/00-multus.conf", is_first=True
    )
