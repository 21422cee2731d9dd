"""Words of schedulers and of nodes that cannot pull an image, as people have posted them, and what they mean."""

import pytest

from bot.probes.pod_start.refusals import (
    IMAGE_ERRORS,
    TAINTS,
    UNSCHEDULED,
    Refusal,
    image_error,
    refusal_of,
    taint_kind,
)

_UNINITIALIZED = "node.cloudprovider.kubernetes.io/uninitialized"
_PREEMPTION = " preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            f"0/3 nodes are available: 3 node(s) had untolerated taint {{{_UNINITIALIZED}: true}}.{_PREEMPTION}",
            Refusal("taints", (_UNINITIALIZED,)),
        ),
        (
            (
                "0/10 nodes are available: 2 node(s) had taint {node-role.kubernetes.io/gateway: true}, that the pod "
                f"didn't tolerate, 8 node(s) had taint {{{_UNINITIALIZED}: true}}, that the pod didn't tolerate."
            ),
            Refusal("taints", ("node-role.kubernetes.io/gateway", _UNINITIALIZED)),
        ),
        ("0/2 nodes are available: 2 node(s) had taints that the pod didn't tolerate.", Refusal("taints")),
        ("0/2 nodes are available: 2 node(s) had untolerated taint(s).", Refusal("taints")),
        (
            (
                "0/3 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 2 "
                f"Insufficient cpu.{_PREEMPTION}"
            ),
            Refusal("resources", ("node-role.kubernetes.io/control-plane",)),
        ),
        ("0/3 nodes are available: 3 Insufficient memory, 1 Insufficient cpu.", Refusal("resources")),
        ("0/1 nodes are available: 1 Too many pods.", Refusal("resources")),
        ("0/3 nodes are available: 3 node(s) were unschedulable.", Refusal("cordoned")),
        ("0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.", Refusal("affinity")),
        ("0/3 nodes are available: 3 node(s) didn't match pod anti-affinity rules.", Refusal("affinity")),
        (
            "0/3 nodes are available: 3 node(s) didn't have free ports for the requested pod ports.",
            Refusal("ports"),
        ),
        ("0/3 nodes are available: 3 node(s) had volume node affinity conflict.", Refusal("volumes")),
        ("0/4 nodes are available: pod has unbound immediate PersistentVolumeClaims.", Refusal("volumes")),
        ("no nodes available to schedule pods", Refusal("no-nodes")),
        ("something new", Refusal("other")),
    ],
)
def test_the_schedulers_words(message: str, expected: Refusal):
    assert expected.reason in UNSCHEDULED
    assert refusal_of(message) == expected


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ((_UNINITIALIZED,), "cloud-provider"),
        (("node.kubernetes.io/not-ready",), "not-ready"),
        (("node.kubernetes.io/network-unavailable",), "network"),
        (("node.cilium.io/agent-not-ready",), "cni-agent"),
        (("node.kubernetes.io/disk-pressure",), "pressure"),
        (("dedicated",), "other"),
        (("dedicated", _UNINITIALIZED), "cloud-provider"),
        (("node-role.kubernetes.io/control-plane",), "none"),
        ((), "none"),
    ],
)
def test_who_removes_a_taint(keys: tuple[str, ...], expected: str):
    assert expected in TAINTS
    assert taint_kind(keys) == expected


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('failed to do request: Head "https://x/v2/": dial tcp: lookup x on 10.0.0.2:53: no such host', "name"),
        ('failed to do request: Head "https://x/v2/": dial tcp 1.2.3.4:443: i/o timeout', "connection"),
        ("pull access denied, repository does not exist or may require authorization", "denied"),
        ('Back-off pulling image "x:y": ErrImagePull: docker.io/library/x:y: not found', "not-found"),
        ("toomanyrequests: You have reached your pull rate limit", "limited"),
        ("tls: failed to verify certificate: x509: certificate signed by unknown authority", "certificate"),
        ('Back-off pulling image "x"', "other"),
    ],
)
def test_why_an_image_is_not_there(message: str, expected: str):
    assert expected in IMAGE_ERRORS
    assert image_error(message) == expected
