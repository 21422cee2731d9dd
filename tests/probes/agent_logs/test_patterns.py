"""What lines of agents' logs mean, after lines that people have posted."""

import pytest

from bot.probes.agent_logs.patterns import error_of_line

LINES = {
    "rules-locked": (
        "E0407 1 controller.go:253] Failed to run iptables-restore: exit status 4 (holding the xtables lock.)",
    ),
    "rules-refused": (
        '[WARNING][7] table.go 978: Failed to execute ip(6)tables-restore command error=exec: "iptables-restore"',
        "iptables v1.8.10 (nf_tables): chain `INPUT' in table `filter' is incompatible, use 'nft' tool.",
        "Failed to create ipset set on system: ipset v6.34: Kernel error received: set type not supported",
    ),
    "programs-refused": (
        'level=error msg="Verifier error: program cil_from_netdev: load program: permission denied"',
        'level=warning msg="libbpf: load bpf program failed: Permission denied" subsys=datapath-loader',
    ),
    "address-conflict": (
        "[WARNING][9] startup.go 757: Calico node 'm3' is already using the IPv4 address 172.18.0.1.",
    ),
    "pod-cidr-missing": ('E0519 1 network.go:102] failed to acquire lease: node "n2" pod cidr not assigned',),
    "api-timeout": ('Failed to watch *v1.Node: Get "https://10.96.0.1:443/api": dial tcp 10.96.0.1:443: i/o timeout',),
    "forbidden": ('Failed to list *v1.Node: nodes is forbidden: User "system:x" cannot list resource',),
    "kernel-lacks": ("E0102 1 vxlan.go:30] failed to create vxlan device: operation not supported",),
    "route-refused": ("E0102 1 route.go:30] failed to add route 10.42.2.0/24: network is down",),
    "not-permitted": ("W0102 1 device.go:12] failed to set sysctl: permission denied",),
    "crash": ("panic: runtime error: invalid memory address or nil pointer dereference",),
    "": (
        "I0102 1 main.go:30] Wrote subnet file to /run/flannel/subnet.env",
        "W0102 1 reflector.go:442] watch of *v1.Pod ended with: an error on the server, will retry",
        "Readiness probe failed: HTTP probe failed with statuscode: 500",
    ),
}


@pytest.mark.parametrize(("error", "line"), [(error, line) for error, lines in LINES.items() for line in lines])
def test_the_class_of_a_line(error: str, line: str):
    assert error_of_line(line) == error
