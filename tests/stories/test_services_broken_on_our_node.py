"""Service rules on the bot's own node are gone, and with them the way to the API server: the bot goes on."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bot.cluster.access.agent_pod import DEFAULT_IMAGE
from tests.architecture.manifests import MANIFESTS, documents
from tests.conftest import LabUnderTest
from tests.e2e.cluster import Cluster

NODE = "node-2"
NAMESPACE = "cnibot"


def our_pod(state: Path) -> dict[str, Any]:
    """A pod on that node with the bot's account, as deploy/ runs it."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "cnibot", "namespace": NAMESPACE, "labels": {"app": "cnibot"}},
        "spec": {
            "nodeName": NODE,
            "hostNetwork": True,
            "dnsPolicy": "Default",
            "serviceAccountName": "cnibot",
            "containers": [
                {
                    "name": "cnibot",
                    "image": DEFAULT_IMAGE,
                    "command": ["sleep", "infinity"],
                    "env": [
                        {"name": "CNIBOT_STATE_DIR", "value": str(state)},
                        {"name": "HOME", "value": str(state)},
                        {"name": "KUBECONFIG", "value": ""},
                    ],
                }
            ],
        },
    }


@pytest.fixture
def cluster(calico_lab: LabUnderTest, tmp_path: Path) -> Iterator[Cluster]:
    """A lab with the bot's account and pod in it."""
    cluster = Cluster(str(calico_lab.kubeconfig))
    items = [
        item for name in ("namespace", "service-account", "rbac") for item in documents(MANIFESTS / f"{name}.yaml")
    ]
    with cluster.applied(*items, our_pod(tmp_path)):
        cluster.ready(NAMESPACE, "cnibot", 1)
        yield cluster


async def test_the_bot_goes_on(calico_lab: LabUnderTest, cluster: Cluster) -> None:
    def diagnose() -> str:
        return cluster.run(NAMESPACE, "cnibot", "cnibot", "diagnose", "seldon-mesh")

    before = diagnose()
    await calico_lab.client.break_("kube-proxy-dead", node=NODE)
    service = await calico_lab.client.exec(NODE, ["sh", "-c", "timeout 2 bash -c 'exec 3<>/dev/tcp/10.43.0.1/443'"])
    after = diagnose()

    assert "HEALTHY" in before
    assert service.code != 0, "the API server's Service still answers there"
    assert "BROKEN" in after
    assert "service-rules-missing (confirmed)" in after
