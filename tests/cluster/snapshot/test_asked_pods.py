"""Which pods a name means."""

import pytest

from bot.cluster.objects import ObjectMeta, OwnerReference, Pod
from bot.cluster.snapshot.asked_pods import asked_pods, nearest_pods


def pod(name: str, owner: str = "", kind: str = "ReplicaSet", stamp: str = "") -> Pod:
    owners = (OwnerReference(kind=kind, name=owner),) if owner else ()
    labels = {"pod-template-hash": stamp} if stamp else {}
    return Pod(metadata=ObjectMeta(name=name, namespace="shop", labels=labels, owner_references=owners))


PODS = (
    pod("web-7c4d-x1", "web-7c4d", stamp="7c4d"),
    pod("web-7c4d-x2", "web-7c4d", stamp="7c4d"),
    pod("web-admin-5f5f-y", "web-admin-5f5f", stamp="5f5f"),
    pod("db-0", "db", "StatefulSet"),
    pod("debug"),
)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("db-0", ("db-0",)),
        ("db", ("db-0",)),
        ("web", ("web-7c4d-x1", "web-7c4d-x2")),  # its Deployment's, and not web-admin's
        ("web-7c4d", ("web-7c4d-x1", "web-7c4d-x2")),
        ("web-ad", ("web-admin-5f5f-y",)),
        ("we", ()),  # two workloads begin so
        ("bug", ()),
    ],
)
def test_a_name_means_a_pod_a_workload_or_what_begins_so(name: str, meant: tuple[str, ...]) -> None:
    assert asked_pods(PODS, name) == meant


def test_a_hash_in_a_name_is_only_believed_where_a_label_says_so() -> None:
    assert asked_pods((pod("web-7c4d-x1", "web-7c4d"), pod("api-1", "api", "DaemonSet")), "web-7c4d") == (
        "web-7c4d-x1",
    )


def test_of_a_misspelt_name_what_begins_so_is_offered_first() -> None:
    assert nearest_pods(PODS, "we") == ("web", "web-admin", "web-7c4d-x1", "web-7c4d-x2", "web-admin-5f5f-y")
    assert nearest_pods(PODS, "dbe")[0] == "db"
    assert nearest_pods((), "x") == ()
