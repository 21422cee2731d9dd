"""What the scheduler's words mean, and those of a node that cannot pull an image.

The scheduler counts the reasons of all nodes: "0/3 nodes are available: 1 node(s) had untolerated taint {x: y}, 2
Insufficient cpu." The reason of most nodes is the one to act on; that a control plane takes no pods is none.

Source: https://kubernetes.io/docs/reference/labels-annotations-taints/ (taints that controllers set and remove)
Source: https://github.com/kubernetes/kubernetes/issues/93533 (uninitialized)
"""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

UNSCHEDULED = (
    "no",
    "taints",
    "cordoned",
    "resources",
    "affinity",
    "volumes",
    "ports",
    "no-nodes",
    "gated",
    "no-scheduler",
    "other",
)
TAINTS = ("none", "cloud-provider", "not-ready", "network", "pressure", "cni-agent", "other")
IMAGE_ERRORS = ("none", "name", "connection", "denied", "not-found", "limited", "certificate", "other")

_REASONS: Final = (
    ("cordoned", re.compile(r"were unschedulable|node\.kubernetes\.io/unschedulable")),
    ("taints", re.compile(r"taint")),
    ("resources", re.compile(r"Insufficient \S+|Too many pods")),
    ("ports", re.compile(r"free ports")),
    ("volumes", re.compile(r"volume|PersistentVolume|persistentvolume")),
    ("affinity", re.compile(r"affinity|selector|topology spread")),
)
_COUNTED: Final = re.compile(r"(?:^|[:,] )(\d{1,9}) ((?:node\(s\) |Insufficient |Too many )[^,{]*(?:\{[^}]*\})?)")
_TAINT: Final = re.compile(r"taints? ?(?:\(s\))? ?\{([^:}\s]+)")
_CONTROL_PLANE: Final = re.compile(r"node-role\.kubernetes\.io/(?:control-plane|master)")
_KINDS: Final = (
    ("cloud-provider", re.compile(r"node\.cloudprovider\.kubernetes\.io/|^node\.\S*cloud\S*/uninitialized")),
    ("network", re.compile(r"node\.kubernetes\.io/network-unavailable|^projectcalico\.org/|flannel")),
    ("cni-agent", re.compile(r"^node\.cilium\.io/|/agent-not-ready$")),
    ("not-ready", re.compile(r"node\.kubernetes\.io/(?:not-ready|unreachable|out-of-service)")),
    ("pressure", re.compile(r"node\.kubernetes\.io/\S*-pressure")),
)
_IMAGES: Final = (
    ("name", re.compile(r"no such host|lookup \S+(?: on \S+)?: |server misbehaving|Temporary failure in name")),
    ("certificate", re.compile(r"x509|certificate|HTTP response to HTTPS client", re.IGNORECASE)),
    ("limited", re.compile(r"toomanyrequests|429|rate limit", re.IGNORECASE)),
    (
        "denied",
        re.compile(
            r"unauthorized|authentication required|access denied|denied:|\b40[13]\b|no basic auth", re.IGNORECASE
        ),
    ),
    ("not-found", re.compile(r"not found|manifest unknown|does not exist|no match for platform", re.IGNORECASE)),
    (
        "connection",
        re.compile(r"i/o timeout|connection refused|no route to host|unreachable|deadline exceeded|reset by"),
    ),
)
_MAX_TEXT: Final = 4096
_MAX_TAINTS: Final = 8


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why no node takes a pod."""

    reason: str
    """One of UNSCHEDULED."""
    taints: tuple[str, ...] = ()
    """Keys of the taints that the message names."""


def refusal_of(message: str) -> Refusal:
    """The scheduler's message: the reason of most nodes, and the taints that it names."""
    text = message[:_MAX_TEXT].partition(" preemption:")[0]
    taints = tuple(dict.fromkeys(_TAINT.findall(text)))[:_MAX_TAINTS]
    if "no nodes available" in text:
        return Refusal("no-nodes")
    counts: Counter[str] = Counter()
    for number, words in _COUNTED.findall(text):
        if not _CONTROL_PLANE.search(words):
            counts[_reason(words)] += int(number)
    foremost = max(counts, key=lambda each: counts[each], default=_reason(text))
    return Refusal(foremost, taints)


def _reason(words: str) -> str:
    return next((name for name, pattern in _REASONS if pattern.search(words)), "other")


def taint_kind(keys: Iterable[str]) -> str:
    """Who is to remove the first taint that some controller sets: one of TAINTS; "none" without a taint."""
    found = [key for key in keys if not _CONTROL_PLANE.search(key)]
    if not found:
        return "none"
    kinds = (name for key in found for name, pattern in _KINDS if pattern.search(key))
    return next(kinds, "other")


def image_error(message: str) -> str:
    """Why an image could not be pulled: one of IMAGE_ERRORS, "other" when the words do not say."""
    text = message[:_MAX_TEXT]
    return next((name for name, pattern in _IMAGES if pattern.search(text)), "other")
