"""deploy/ in a running cluster: an API server takes it, and its ServiceAccount sees all that matters, and no more."""

import base64
import http
import http.client
import json
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

from bot.lab.cluster.launch import LabOptions, start
from tests.architecture.manifests import MANIFESTS, Manifest, documents

pytestmark = pytest.mark.lab

FILES = ("namespace.yaml", "service-account.yaml", "rbac.yaml", "exec/rbac.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """An API server and a token for it. Not the bot's own client: it would test itself."""

    server: str
    authority: str
    token: str

    def send(self, method: str, path: str, body: Manifest | None = None) -> tuple[int, Manifest]:
        """Status and answer."""
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        context = ssl.create_default_context(cadata=self.authority)
        address = self.server.removeprefix("https://")
        with closing(http.client.HTTPSConnection(address, timeout=20, context=context)) as connection:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            return answer.status, cast("Manifest", json.loads(answer.read()))

    def create(self, path: str, body: Manifest) -> Manifest:
        """The object as the server made it."""
        status, answer = self.send("POST", path, body)
        assert status == http.HTTPStatus.CREATED, answer
        return answer


def collection(item: Manifest) -> str:
    """The path under which an object is created."""
    group = item["apiVersion"]
    prefix = f"/apis/{group}" if "/" in group else f"/api/{group}"
    namespace = item["metadata"].get("namespace")
    within = f"/namespaces/{namespace}" if namespace else ""
    return f"{prefix}{within}/{item['kind'].lower()}s"


def login(kubeconfig: Path) -> Client:
    """The lab's administrator."""
    config: dict[str, Any] = json.loads(kubeconfig.read_text(encoding="utf-8"))
    cluster = config["clusters"][0]["cluster"]
    authority = base64.b64decode(cluster["certificate-authority-data"]).decode()
    return Client(server=cluster["server"], authority=authority, token=config["users"][0]["user"]["token"])


@pytest.fixture(scope="module")
def bot_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A lab with deploy/ in it, and a kubeconfig of the bot's ServiceAccount."""
    lab = start(tmp_path_factory.mktemp("lab") / "state", LabOptions(), attached=True)
    try:
        admin = login(lab.state.kubeconfig)
        for name in FILES:
            for item in documents(MANIFESTS / name):
                admin.create(collection(item), item)
        path = "/api/v1/namespaces/cnibot/serviceaccounts/cnibot/token"
        wish: Manifest = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = admin.create(path, wish)["status"]["token"]
        config = json.loads(lab.state.kubeconfig.read_text(encoding="utf-8"))
        config["users"][0]["user"] = {"token": token}
        kubeconfig = tmp_path_factory.mktemp("bot") / "kubeconfig"
        kubeconfig.write_text(json.dumps(config), encoding="utf-8")
        yield kubeconfig
    finally:
        lab.stop()


def diagnose(kubeconfig: Path, namespace: str, access: str = "agent") -> dict[str, Any]:
    """The report, made with nothing but that kubeconfig's rights."""
    command = [sys.executable, "-m", "bot", "diagnose", namespace, "--kubeconfig", str(kubeconfig), "--output", "json"]
    command += ["--access", access]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout.startswith("{"), done.stdout + done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("access", ["api", "exec", "cni-agent", "agent"])
def test_what_is_granted_is_enough_on_every_rung(bot_kubeconfig: Path, access: str) -> None:
    report = diagnose(bot_kubeconfig, "seldon-mesh", access)

    assert report["verdict"]["status"] == ("healthy" if access == "agent" else "inconclusive")
    assert report["coverage"]["access"] == access
    assert [item for item in report["coverage"]["unobserved"] if "not allowed" in item["why"].lower()] == []


def test_node_agents_are_gone_afterwards(bot_kubeconfig: Path) -> None:
    diagnose(bot_kubeconfig, "seldon-mesh")

    _, left = login(bot_kubeconfig).send("GET", "/api/v1/namespaces/cnibot/pods")

    assert [item["metadata"]["name"] for item in left["items"] if not item["metadata"].get("deletionTimestamp")] == []


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/secrets"),
        ("GET", "/api/v1/namespaces/kube-system/secrets"),
        ("GET", "/api/v1/namespaces/kube-system/configmaps"),
        ("DELETE", "/api/v1/namespaces/seldon-mesh/pods/any"),
        ("POST", "/api/v1/namespaces/kube-system/pods"),
        ("POST", "/api/v1/namespaces"),
    ],
)
def test_nothing_else_is_allowed(bot_kubeconfig: Path, method: str, path: str) -> None:
    status, answer = login(bot_kubeconfig).send(method, path, {} if method == "POST" else None)

    assert (status, answer["reason"]) == (403, "Forbidden")
