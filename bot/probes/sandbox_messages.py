"""What a kubelet's or node's words about a failed sandbox mean: one class for each way a pod can get no network.

The texts are those of kubelet, containerd and the CNI plugins themselves; an event may quote several (first add, then
clean-up), so the first pattern of this list that is found anywhere decides.

Source: https://github.com/projectcalico/calico/issues/9215 (unauthorized)
Source: https://github.com/projectcalico/calico/issues/4361 (API timeout)
Source: https://github.com/k3s-io/k3s/issues/5885 (host-local exhausted)
Source: https://github.com/k3s-io/k3s/issues/5556 (subnet.env)
Source: https://github.com/cilium/cilium/issues/40345 (agent not running)
Source: https://github.com/kubernetes/kubernetes/issues/107428 (nodename, cni config uninitialized)
"""

import re

SANDBOX_ERRORS = (
    "none",
    "cni-not-initialised",
    "plugin-missing",
    "ipam-exhausted",
    "no-pool",
    "api-timeout",
    "unauthorized",
    "subnet-env-missing",
    "bridge-address-conflict",
    "pod-cidr-missing",
    "other",
)

_PATTERNS = tuple(
    (error, re.compile("|".join(patterns), re.IGNORECASE))
    for error, patterns in (
        (
            "cni-not-initialised",
            (
                r"cni plugin not initialized",
                r"cni config uninitialized",
                r"no network config(?:uration)? found in",
                r"no networks found in",
                r"stat /var/lib/calico/nodename: no such file",
                r"unable to connect to cilium (?:agent|daemon)",
                r"failed to create cilium agent client",
                r"cni\.sock: connect: (?:connection refused|no such file)",
                r"connection error: desc = .{0,40}dial tcp 127\.0\.0\.1:50051: connect: connection refused",  # aws-node
            ),
        ),
        ("plugin-missing", (r"failed to find plugin", r"fork/exec \S*/cni/bin/\S+: no such file")),
        ("subnet-env-missing", (r"/run/flannel/subnet\.env",)),
        ("bridge-address-conflict", (r"already has an IP address different from",)),
        (
            "pod-cidr-missing",
            (
                r"pod ?cidr not (?:assigned|available)",
                r"no podCidrs? for node",
                r"PodCIDR not available",
                r"no IP ranges specified",
            ),
        ),
        (
            "no-pool",
            (
                r"no configured Calico pools",
                r"the given pool .{0,80}does not exist, or is not enabled",
                r"no IP ?pools? (?:selects?|matches|available for)",
            ),
        ),
        (
            "ipam-exhausted",
            (
                r"no IP addresses available in",
                r"No IPs available in pools",
                r"No more free affine blocks",
                r"per host block limit",
                r"all (?:pod )?CIDR ranges are exhausted",
                r"No more IPs available",
                r"no IPs currently available on the node",
                r"range is full",
                r"failed to assign an IP address to container",
                r"Assigned 0 out of \d+ requested IPv[46] addresses",
            ),
        ),
        ("unauthorized", (r"\bUnauthorized\b", r"x509: certificate has expired", r"\bis forbidden: User\b")),
        (
            "api-timeout",
            (
                r"dial tcp \S+: i/o timeout",
                r"dial tcp \S+: connect: (?:connection refused|no route to host|network is unreachable)",
                r"context deadline exceeded",
                r"Client\.Timeout exceeded",
                r"TLS handshake timeout",
                r"net/http: request canceled",
            ),
        ),
    )
)

_MAX_TEXT = 4096
"""Longer messages do not exist (the API cuts at 1,024 characters); a hostile one costs no more than this."""


def classify(message: str) -> str:
    """The class of a message that says why a sandbox could not be made; "other" when nothing here knows it."""
    text = message[:_MAX_TEXT]
    return next((error for error, pattern in _PATTERNS if pattern.search(text)), "other")
