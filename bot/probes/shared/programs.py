"""Whose BPF program it is, by its name."""

import re

from bot.agent.report import Filter

_CNI_PROGRAMS = ("cil_", "cali", "bpf_lxc", "bpf_host", "bpf_overlay", "bpf_netdev", "calico", "antrea", "kube_ovn")
"""How BPF programs of CNIs are called."""
_ONLY_OF = {"aws-vpc-cni": ("handle_ingress", "handle_egress")}
"""Names that anybody may give a program, and that this CNI's policy agent gives its own.

Source: github.com/aws/aws-network-policy-agent (pkg/ebpf/c/tc.v4ingress.bpf.c)
"""
_AUTHORS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("Cilium", re.compile(r"^(cil_|bpf_(lxc|host|overlay|netdev))")),
    ("Calico", re.compile(r"^cali")),
    ("Antrea", re.compile(r"^antrea")),
    ("Kube-OVN", re.compile(r"^kube_ovn")),
    ("systemd", re.compile(r"^sd_")),
    ("NetObserv", re.compile(r"^tcx?_(in|e)gress_(f|p)")),
    ("Datadog's security agent", re.compile(r"^classifier_(in|e)gr")),
)
"""The kernel keeps 15 letters of a name, tc more.

Source: github.com/netobserv/netobserv-ebpf-agent (bpf/flows.c), github.com/cilium/cilium/issues/21345
"""


def is_cni_program(one: Filter, cni: str) -> bool:
    """Whether a program is one that a CNI attaches, or that this one alone calls so."""
    return one.name.startswith((*_CNI_PROGRAMS, *_ONLY_OF.get(cni, ())))


def program_author(one: Filter) -> str:
    """Who attaches programs of this name; "" when it does not tell."""
    return author_of_program(one.name)


def author_of_program(name: str) -> str:
    """The same by the name alone."""
    return next((who for who, names in _AUTHORS if names.search(name)), "")
