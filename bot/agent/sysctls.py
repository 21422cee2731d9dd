"""The sysctls that decide about pod traffic. A chosen few are read, never all of /proc/sys.

The values of each device come with the links (netlink carries them); only what it does not carry is read from files.
"""

import contextlib
from collections.abc import Iterable

from bot.agent.files import read_text
from bot.agent.links import CONF4, CONF6, LinkRecord

SYS = "/proc/sys/net"

ROOT_NAMES = (
    "ipv4.ip_forward",
    "ipv4.ip_default_ttl",
    "ipv4.ip_local_port_range",
    "ipv4.ip_nonlocal_bind",
    "ipv4.icmp_echo_ignore_all",
    "ipv4.icmp_ratelimit",
    "ipv4.icmp_ratemask",
    "ipv4.tcp_mtu_probing",
    "ipv4.tcp_max_syn_backlog",
    "ipv4.neigh.default.gc_thresh1",
    "ipv4.neigh.default.gc_thresh2",
    "ipv4.neigh.default.gc_thresh3",
    "ipv4.neigh.default.proxy_delay",
    "bridge.bridge-nf-call-iptables",
    "bridge.bridge-nf-call-arptables",
    "bridge.bridge-nf-call-ip6tables",
    "netfilter.nf_conntrack_count",
    "netfilter.nf_conntrack_max",
    "netfilter.nf_conntrack_buckets",
    "core.somaxconn",
    "core.netdev_max_backlog",
    *(f"ipv4.conf.{group}.{name}" for group in ("all", "default") for name in CONF4),
    *(f"ipv6.conf.{group}.{name}" for group in ("all", "default") for name in CONF6),
)
POD_NAMES = (
    "ipv4.ip_forward",
    "ipv4.ip_default_ttl",
    "ipv4.ip_local_port_range",
    "ipv4.ip_local_reserved_ports",
    "ipv4.icmp_echo_ignore_all",
    "ipv4.conf.all.rp_filter",
    "ipv4.conf.all.arp_ignore",
    "ipv4.conf.all.forwarding",
    "ipv6.conf.all.disable_ipv6",
    "ipv6.conf.all.forwarding",
    "core.somaxconn",
)
POD_DEVICE_NAMES = ("rp_filter", "arp_ignore", "arp_filter", "arp_announce", "forwarding", "disable_policy")


def read_root_sysctls(links: Iterable[LinkRecord]) -> dict[str, str]:
    """Dotted name without "net." -> value. What this kernel or namespace does not have is left out."""
    found = _read(ROOT_NAMES)
    for record in links:
        device = record.link.name.replace(".", "/")
        found |= {f"ipv4.conf.{device}.{name}": value for name, value in record.conf4.items()}
        found |= {f"ipv6.conf.{device}.{name}": value for name, value in record.conf6.items()}
        if not record.is_loopback:
            found |= _read((f"ipv4.neigh.{device}.proxy_delay",))
    return found


def read_pod_sysctls(links: Iterable[LinkRecord]) -> dict[str, str]:
    """The same of a pod: fewer."""
    found = _read(POD_NAMES)
    for record in links:
        if record.is_loopback and "disable_ipv6" in record.conf6:
            found["ipv6.conf.lo.disable_ipv6"] = record.conf6["disable_ipv6"]
        if not record.is_loopback:
            device = record.link.name.replace(".", "/")
            if "hop_limit" in record.conf6:
                found[f"ipv6.conf.{device}.hop_limit"] = record.conf6["hop_limit"]
            found |= {
                f"ipv4.conf.{device}.{name}": record.conf4[name] for name in POD_DEVICE_NAMES if name in record.conf4
            }
    return found


def sysctl_path(name: str) -> str:
    """The file of a dotted name; a device's own dots were written as slashes."""
    return f"{SYS}/" + name.translate(_SWAP)


def _read(names: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in names:
        with contextlib.suppress(OSError):
            found[name] = " ".join(read_text(sysctl_path(name), 256).split())
    return found


_SWAP = str.maketrans("./", "/.")
