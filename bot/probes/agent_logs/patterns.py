"""The complaints of CNI agents and kube-proxy, and the class of each.

The first pattern that is found counts. What a plugin says of a sandbox an agent says of itself, so its classes are
used here too: those of the way to the API server, of addresses and of what a kernel lacks.

Source: https://github.com/cloudnativelabs/kube-router/issues/1057 (the xtables lock)
Source: https://github.com/projectcalico/felix/issues/1629 (iptables-restore that cannot be run)
Source: https://github.com/cloudnativelabs/kube-router/issues/1777 (a table that iptables cannot read)
Source: https://github.com/cloudnativelabs/kube-router/issues/539 (a set that the kernel refuses)
Source: https://github.com/cilium/cilium/issues/41522 (a program that the verifier refuses)
Source: https://github.com/projectcalico/calico/issues/1628 (an address that another node has)
Source: https://github.com/flannel-io/flannel/issues/1344 (no range for the node)
"""

import re
from typing import Final

from bot.probes.pod_sandbox.messages import classify

_OF_SANDBOXES: Final = (
    "ipam-exhausted",
    "no-pool",
    "address-taken",
    "pod-cidr-missing",
    "other-ca",
    "certificate-name",
    "certificate-expired",
    "unauthorized",
    "forbidden",
    "datastore-not-ready",
    "api-timeout",
    "api-cut",
    "kernel-lacks",
    "node-resources",
)
_REFUSALS = (
    r"permission denied|operation not permitted|invalid argument|no space left|too many|cannot allocate|not supported"
)
_OWN: Final = tuple(
    (error, re.compile("|".join(patterns), re.IGNORECASE))
    for error, patterns in (
        (
            "rules-locked",
            (
                r"xtables lock",
                r"iptables lock",
                r"holding the xtables",
            ),
        ),
        (
            "address-conflict",
            (
                r"(?:is )?already using the IPv[46] address",
                r"(?:IPv[46] )?address conflict",
                r"IP conflict",
            ),
        ),
        (
            "programs-refused",
            (
                r"(?:failed|unable) to (?:load|attach|compile|create|pin)\b.{0,120}\b(?:e?bpf|program|datapath)\b",
                rf"\be?bpf\b.{{0,160}}(?:{_REFUSALS})",
                r"\bload program: |\bverifier (?:error|log)\b|\bmap create failed\b",
                r"error while rewriting endpoint BPF program|regeneration of endpoint failed",
            ),
        ),
        (
            "rules-refused",
            (
                r"ip\(?6?\)?tables(?:-\w+)?-(?:restore|save)\b.{0,200}(?:fail|error|exit status|line \d+)",
                r"failed to (?:execute|apply|program|run|sync|list)\b.{0,100}\b(?:ip6?tables|nft\w*|ipset|ipvs)\b",
                r"failed to (?:execute|run) ip\(6\)tables",
                r"\bipset\b.{0,120}(?:cannot|error|fail|full)",
                r"is incompatible, use 'nft' tool",
                r"\bnft\w*\b.{0,80}(?:could not process rule|netlink.{0,20}(?:error|fail))",
            ),
        ),
        ("bgp-down", (r"\bBIRD is not ready", r"BGP not established", r"bgp.{0,60}(?:connection refused|hold timer)")),
        (
            "route-refused",
            (
                r"failed to (?:add|delete|replace|update|create)\b.{0,80}\b(?:route|neigh\w*|arp|fdb|vxlan|link)\b",
                r"error (?:adding|deleting|replacing|programming)\b.{0,60}\broute",
            ),
        ),
        ("crash", (r"^panic: ", r"^fatal error: ", r"SIGSEGV|segmentation fault")),
        ("not-permitted", (r"operation not permitted", r"permission denied")),
    )
)
_WIDE: Final = frozenset({"route-refused", "not-permitted"})
"""What a narrower class of a sandbox says better."""
LOG_ERRORS: Final = (*(error for error, _ in _OWN), *_OF_SANDBOXES)


def error_of_line(line: str) -> str:
    """The class of a line of a log; "" for one of which nothing is known."""
    own = next((error for error, pattern in _OWN if pattern.search(line)), "")
    if own and own not in _WIDE:
        return own
    of_sandboxes = classify(line)
    return of_sandboxes if of_sandboxes in _OF_SANDBOXES else own
