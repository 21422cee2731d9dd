"""What a report is about, read back from how it is written."""

import pytest

from bot.domain.facts import CLUSTER, node, pair, pod, service
from bot.domain.subject_name import SubjectName


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (str(pod("shop", "a")), ("pod", "shop/a", "shop", "a")),
        (str(service("shop", "web")), ("service", "shop/web", "shop", "web")),
        (str(node("node-1.example.org")), ("node", "node-1.example.org", "", "node-1.example.org")),
        (str(CLUSTER), ("cluster", "", "", "")),
        ("DaemonSet kube-system/cilium", ("DaemonSet", "kube-system/cilium", "kube-system", "cilium")),
        ("", ("", "", "", "")),
    ],
)
def test_a_subject_is_read_as_it_is_written(written: str, read: tuple[str, str, str, str]) -> None:
    found = SubjectName.read(written)

    assert (found.kind, found.name, found.namespace, found.short) == read


def test_a_pair_has_two_ends() -> None:
    assert SubjectName.read(str(pair("node-1", "node-2"))).ends == ("node-1", "node-2")
