"""A Service that leads to another program: the network carries everything, and the answers are found to be wrong."""

import json
from typing import Any

import pytest

from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path
from tests.conftest import LabUnderTest
from tests.stories.shell import cnibot

MLFLOW = api_path("services", namespace="mlflow", name="mlflow")
LEADS_TO_POSTGRES = [
    {"op": "replace", "path": "/spec/selector", "value": {"app": "postgres"}},
    {"op": "replace", "path": "/spec/ports/0/targetPort", "value": 5432},
]


def findings(lab: LabUnderTest) -> tuple[str, dict[str, str]]:
    """The verdict's sentence, and by Service how application-answers grades it."""
    report = json.loads(cnibot(lab, "diagnose", "mlflow", "--output", "json").stdout)
    assert report["verdict"]["status"] == "healthy", report["verdict"]
    graded = {one["subject"]: one["severity"] for one in report["findings"] if one["probe"] == "application-answers"}
    return report["verdict"]["summary"], graded


@pytest.mark.lab
async def test_a_wrong_program_behind_a_service_is_not_the_network(calico_lab: LabUnderTest) -> None:
    summary, graded = findings(calico_lab)
    assert "wrong answers" not in summary
    assert graded["service mlflow/mlflow"] == "pass"

    async with Api.connect(calico_lab.kubeconfig, None) as api:
        before = (await api.get(MLFLOW, dict[str, Any]))["spec"]
        back = [{"op": "replace", "path": f"/spec/{key}", "value": before[key]} for key in ("selector", "ports")]
        await api.patch(MLFLOW, LEADS_TO_POSTGRES, dict[str, Any])
        try:
            summary, graded = findings(calico_lab)
        finally:
            await api.patch(MLFLOW, back, dict[str, Any])

    assert "a matter of the application, not of the network: wrong answers of mlflow/mlflow" in summary
    assert (graded["service mlflow/mlflow"], graded["service mlflow/minio"]) == ("warn", "pass")
