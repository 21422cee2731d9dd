"""A healthy cluster is called healthy, on every data plane, every time."""

import json

import pytest

from tests.conftest import LabUnderTest
from tests.stories.shell import cnibot


@pytest.mark.parametrize("namespace", ["seldon-mesh", "shop", "kube-system"])
@pytest.mark.parametrize("lab", ["calico_lab", "flannel_lab", "cilium_lab"])
def test_a_healthy_cluster_is_healthy(lab: str, namespace: str, request: pytest.FixtureRequest) -> None:
    """In `shop` policies deny what they should; `kube-system` has pods that share their node's address."""
    running: LabUnderTest = request.getfixturevalue(lab)

    run = cnibot(running, "diagnose", namespace, "--output", "json")

    report = json.loads(run.stdout)
    failed = [finding["sentence"] for finding in report["findings"] if finding["severity"] in {"fail", "warn"}]
    assert (run.returncode, report["verdict"]["status"], failed) == (0, "healthy", [])
