"""An agent pod that admission refuses is reported with what lets it in."""

import pytest

from bot.cluster.access.pod_start import admission_remedy


@pytest.mark.parametrize(
    ("why", "remedy"),
    [
        (
            'pods "a" is forbidden: violates PodSecurity "baseline:latest": host namespaces',
            "kubectl label namespace bots",
        ),
        ('pods "a" is forbidden: exceeded quota: few, requested: pods=1, used: pods=2', "describe resourcequota"),
        ('pods "a" is forbidden: failed quota: few: must specify limits.cpu', "--namespace bots"),
    ],
)
def test_the_remedy_fits_the_refusal(why: str, remedy: str) -> None:
    assert remedy in admission_remedy(why, "bots")


def test_what_is_not_understood_gets_no_advice() -> None:
    assert admission_remedy('admission webhook "x" denied the request', "bots") == ""
