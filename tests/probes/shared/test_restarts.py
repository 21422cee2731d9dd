"""What a person types to restart an agent or make a pod anew."""

import pytest

from bot.cluster.objects import ObjectMeta, OwnerReference, Pod
from bot.probes.shared.restarts import deletion, kubectl, recreation

OWNED = (OwnerReference(kind="ReplicaSet", name="web"),)
MIRROR = {"kubernetes.io/config.mirror": "x"}


def pod(name: str = "web-1", owners: tuple[OwnerReference, ...] = OWNED, *, is_static: bool = False) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=name, namespace="shop", owner_references=owners, annotations=MIRROR if is_static else {}
        )
    )


def test_a_pod_with_a_controller_is_deleted() -> None:
    assert recreation(pod()) == ("kubectl -n shop delete pod web-1", "")


def test_a_pod_that_nobody_makes_again_is_replaced() -> None:
    """Deleted it would be gone for good."""
    command, _ = recreation(pod(owners=()))

    assert command == "kubectl -n shop get -o yaml pod web-1 | kubectl replace --force -f -"


def test_a_static_pod_is_not_deleted() -> None:
    """Its object is a mirror: deleting it restarts nothing."""
    command, why = deletion(pod(is_static=True))

    assert command is None
    assert "static pod" in why


@pytest.mark.parametrize("name", ["-rf", "a; reboot", "$(reboot)", "", "a\nb"])
def test_a_name_that_a_shell_would_read_gives_no_command(name: str) -> None:
    assert kubectl("shop", "delete", "pod", name)[0] is None
    assert kubectl(name, "delete", "pod", "web-1")[0] is None
    assert recreation(pod(name))[0] is None
    assert recreation(pod(name, owners=()))[0] is None
