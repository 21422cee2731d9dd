"""What a kubelet's or node's words about a failed sandbox mean: one class for each way a pod can get no network.

The texts are those of kubelet, containerd, CRI-O and the CNI plugins themselves. The reason stands at the end: before
it come the runtime's own words with the sandbox's id (167 characters of them in containerd 2), which are taken off. An
event may quote several failures (first the add, then the clean-up): the add counts, and of its words the first pattern
of this list that is found anywhere. What a runtime says of its own work is never taken for a plugin's.
"""

import re
from dataclasses import dataclass
from typing import Final

from bot.probes.pod_sandbox.patterns import PATTERNS

_RUNTIME_SPEAKS: Final = re.compile(
    r"failed to (?:create|start|run|load|reserve|delete) (?:the )?(?:containerd |new )?"
    r"(?:task|shim|sandbox (?:name|task|container task)|container|sandbox container \"[^\"]{0,80}\":)"
    r"|(?:container create failed|error creating container|OCI runtime|runc|crun|runsc|kata)\b"
    r"|no runtime for\b"
    r"|error reading from server\b|transport is closing|the connection is draining"
    r"|connection error: desc = .{0,120}(?:containerd|crio|cri-dockerd|dockershim)\S{0,20}\.sock",
    re.IGNORECASE,
)
"""Begins a runtime's words about a sandbox's own process, or kubelet's about a runtime that is gone: no plugin's."""
_OF_RUNTIMES: Final = frozenset({"pause-image", "resolv-conf", "node-resources", "kernel-lacks"})
"""What a runtime may say for itself; whatever else its words resemble (EOF of a pipe, a refused file) is its own."""

_RUNTIMES_WORDS: Final = tuple(
    re.compile(pattern, re.IGNORECASE | re.DOTALL)
    for pattern in (
        r"\(combined from similar events\): ",
        r"Failed (?:to )?create pod sandbox: ",
        r"rpc error: code = \w+ desc = ",
        r"network is not ready: ",
        r"\[(?=failed to set)",
        r'failed to set ?up network for sandbox(?: "[^"]{0,80}")?: ',
        r'failed to set up sandbox container "[^"]{0,80}" network for pod "[^"]{0,300}": ',
        r'NetworkPlugin (?:cni|kubenet) failed to set up pod "[^"]{0,600}" network: ',
        r'failed to start sandbox "[^"]{0,80}": ',
        r"failed to create pod network sandbox [^\s:]{1,600}: ",
        r'error adding pod \S{1,600} to CNI network "[^"]{0,80}": ',
    )
)
"""What kubelet and the runtimes (containerd, CRI-O, cri-dockerd) put before a plugin's own words."""
_SHIM: Final = re.compile(r"CmdAdd \(shim\): CNI request failed with status \d+: .{0,2500}?ERRORED: ", re.DOTALL)
"""Multus's thick plugin quotes its whole request before the reason."""
_CLEAN_UP: Final = re.compile(r",? failed to clean up sandbox container .*", re.DOTALL)
_QUOTES: Final = re.compile(r'\\+"')
_NAMED: Final = (
    re.compile(r'failed to find plugin "([\w.-]{1,64})"'),
    re.compile(r"fork/exec \S*/([\w.-]{1,64}):"),
    re.compile(r'plugin type="([\w.-]{1,64})"'),
    re.compile(r'error (?:adding container to|in invoke Delegate add -) ?(?:network )?"([\w.-]{1,64})"'),
)
"""Where a message names its plugin; the last place of the first pattern that is found is the innermost one."""
_BY_WORDS: Final = (
    ("multus", re.compile(r"\bMultus\b|readinessindicatorfile", re.IGNORECASE)),
    ("calico", re.compile(r"ClusterInformation|/var/lib/calico|calico", re.IGNORECASE)),
    ("cilium-cni", re.compile(r"cilium", re.IGNORECASE)),
    ("flannel", re.compile(r"/run/flannel|flannel", re.IGNORECASE)),
    ("aws-cni", re.compile(r"127\.0\.0\.1:50051")),
)
_MAX_TEXT = 4096
"""Longer messages do not exist (the API cuts at 1,024 characters); a hostile one costs no more than this."""
MAX_REASON = 600


@dataclass(frozen=True, slots=True)
class SandboxFailure:
    """What a message about a failed sandbox says."""

    error: str
    """One of SANDBOX_ERRORS."""
    plugin: str
    """The plugin that failed or is missing, the innermost one that is named; "" where none is."""
    reason: str
    """The message without what kubelet and the runtime put before a plugin's words, its end kept."""


def understand(message: str) -> SandboxFailure:
    """The class of a message, the plugin that it is about, and its reason."""
    text = _QUOTES.sub('"', message[:_MAX_TEXT])
    reason = _without_runtimes_words(text)
    return SandboxFailure(error=_class_of(reason), plugin=_plugin(reason), reason=_ending(reason))


def classify(message: str) -> str:
    """The class of a message that says why a sandbox could not be made; "other" when nothing here knows it."""
    return understand(message).error


def _class_of(reason: str) -> str:
    found = [error for error, pattern in PATTERNS if pattern.search(reason)]
    if _RUNTIME_SPEAKS.match(reason):
        return next((error for error in found if error in _OF_RUNTIMES), "runtime")
    return next(iter(found), "other")


def _without_runtimes_words(text: str) -> str:
    rest = text.strip()
    is_shorter = True
    while is_shorter:
        before = rest
        for words in _RUNTIMES_WORDS:
            if found := words.match(rest):
                rest = rest[found.end() :]
        is_shorter = len(rest) < len(before)
    rest = _SHIM.sub("", rest)
    return _CLEAN_UP.sub("", rest) or text.strip()


def _plugin(reason: str) -> str:
    for pattern in _NAMED:
        if found := pattern.findall(reason):
            return str(found[-1])
    return next((name for name, pattern in _BY_WORDS if pattern.search(reason)), "")


def _ending(reason: str) -> str:
    """One line of at most 600 characters: of a longer one the end, where the reason stands."""
    line = " ".join("".join(each if each.isprintable() else " " for each in reason).split())
    return line if len(line) <= MAX_REASON else "…" + line[1 - MAX_REASON :]
