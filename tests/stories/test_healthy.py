"""A healthy cluster is called healthy, on every data plane, every time."""

import json

import pytest

from tests.conftest import LabUnderTest
from tests.stories.shell import cnibot


@pytest.mark.parametrize("namespace", ["seldon-mesh", "shop", "kube-system"])
def test_a_healthy_cluster_is_healthy(any_lab: LabUnderTest, namespace: str) -> None:
    """In `shop` policies deny what they should; `kube-system` has pods that share their node's address."""
    run = cnibot(any_lab, "diagnose", namespace, "--output", "json")

    report = json.loads(run.stdout)
    failed = [finding["sentence"] for finding in report["findings"] if finding["severity"] in {"fail", "warn"}]
    assert (run.returncode, report["verdict"]["status"], failed) == (0, "healthy", [])
