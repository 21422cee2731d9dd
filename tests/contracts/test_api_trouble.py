"""Every way in which an API server can fail, and the sentence that people then read.

A wrong sentence is worse than none: "no answer" for a refused connection sends people to the wrong place.
"""

import base64
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bot.aio.retry import Backoff
from bot.cluster.client.api import Api
from bot.cluster.objects import Node
from bot.domain.errors import (
    BotError,
    ConfigurationError,
    ConflictError,
    DeadlineError,
    ExpiredError,
    ForbiddenError,
    NotFoundError,
    OverloadedError,
    RejectedError,
    ServerError,
    UnauthorizedError,
    UnreachableError,
)
from tests.contracts.scripted_server import (
    Handler,
    ScriptedServer,
    closed_port,
    drop,
    drop_midway,
    hang,
    kubeconfig,
    serving,
    status,
)

QUICK = Backoff(attempts=3, first_s=0.001, max_s=0.05)
NODES = "/api/v1/nodes"


@asynccontextmanager
async def talking_to(
    handler: Handler, directory: Path, *, request_s: float = 5
) -> AsyncGenerator[tuple[Api, ScriptedServer], None]:
    async with (
        serving(handler) as server,
        Api.connect(kubeconfig(directory, server.url), request_s=request_s, backoff=QUICK) as api,
    ):
        yield api, server


async def failure(handler: Handler, directory: Path, error: type[BotError], path: str = NODES) -> tuple[str, int]:
    """The sentence and the number of requests when a list fails with `error`."""
    async with talking_to(handler, directory) as (api, server):
        with pytest.raises(error) as raised:
            await api.list_all(path, Node)
    return str(raised.value).replace(server.url, "SERVER"), len(server.asked)


async def test_an_answer_is_decoded(tmp_path: Path):
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.json_response({"items": [{"metadata": {"name": "node-1"}}]})

    async with talking_to(handler, tmp_path) as (api, server):
        listed = await api.list_all(NODES, Node)

    assert [node.metadata.name for node in listed.items] == ["node-1"]
    assert server.authorizations == ["Bearer secret-token"]


async def test_forbidden_names_the_permission(tmp_path: Path):
    message = 'nodes is forbidden: User "eve" cannot list resource "nodes" in API group "" at the cluster scope'
    said, requests = await failure(status(403, "Forbidden", message), tmp_path, ForbiddenError)

    assert said == "Not allowed to list nodes in the whole cluster."
    assert requests == 1


async def test_forbidden_in_a_namespace_and_group(tmp_path: Path):
    async with talking_to(status(403), tmp_path) as (api, _):
        with pytest.raises(ForbiddenError) as raised:
            await api.get("/apis/apps/v1/namespaces/shop/daemonsets/a", Node)

    assert str(raised.value) == "Not allowed to get daemonsets.apps in namespace shop."
    assert raised.value.permission == "get daemonsets.apps in namespace shop"


async def test_refused_by_admission_says_why(tmp_path: Path):
    message = 'pods "a" is forbidden: violates PodSecurity "baseline:latest": host namespaces'
    async with talking_to(status(403, "Forbidden", message), tmp_path) as (api, _):
        with pytest.raises(ForbiddenError) as raised:
            await api.create("/api/v1/namespaces/shop/pods", {}, Node)

    assert str(raised.value) == (
        'Not allowed to create pods in namespace shop: pods "a" is forbidden: violates PodSecurity '
        '"baseline:latest": host namespaces.'
    )


async def test_expired_credentials_say_to_log_in(tmp_path: Path):
    said, requests = await failure(status(401, "Unauthorized", "Unauthorized"), tmp_path, UnauthorizedError)

    assert (
        said == "The API server SERVER does not accept the credentials: they are wrong or have expired. Log in again."
    )
    assert requests == 1


async def test_renewed_credentials_are_tried_once(tmp_path: Path):
    """A long-running bot survives the rotation of its token file."""
    token = tmp_path / "token"
    token.write_text("old")

    async def handler(request: web.Request) -> web.StreamResponse:
        if request.headers["Authorization"] == "Bearer new":
            return web.json_response({"metadata": {"name": "node-1"}})
        return await status(401)(request)

    async with (
        serving(handler) as server,
        Api.connect(kubeconfig(tmp_path, server.url, tokenFile=str(token)), backoff=QUICK) as api,
    ):
        token.write_text("new")
        node = await api.get(f"{NODES}/node-1", Node)

    assert node.metadata.name == "node-1"
    assert server.authorizations == ["Bearer old", "Bearer new"]


async def test_not_found(tmp_path: Path):
    said, _ = await failure(status(404, "NotFound"), tmp_path, NotFoundError, "/api/v1/namespaces/shop/pods/a")

    assert said == "pods shop/a does not exist."


@pytest.mark.parametrize(
    ("reason", "said"),
    [("AlreadyExists", "pods shop/a exists already."), ("Conflict", "pods shop/a has changed meanwhile.")],
)
async def test_conflict(reason: str, said: str, tmp_path: Path):
    async with talking_to(status(409, reason), tmp_path) as (api, _):
        with pytest.raises(ConflictError) as raised:
            await api.delete("/api/v1/namespaces/shop/pods/a")

    assert str(raised.value) == said


async def test_a_list_that_keeps_expiring_is_given_up(tmp_path: Path):
    said, requests = await failure(status(410, "Expired"), tmp_path, ExpiredError)

    assert said == "nodes changed too much while it was read."
    assert requests == 3


async def test_invalid_requests_say_what_the_server_says(tmp_path: Path):
    said, requests = await failure(status(422, "Invalid", "spec.a: Required value"), tmp_path, RejectedError)

    assert said == "The API server refuses to list nodes (HTTP 422): spec.a: Required value."
    assert requests == 1


async def test_a_server_that_fails_is_asked_again(tmp_path: Path):
    said, requests = await failure(status(500, "InternalError", "etcd is gone"), tmp_path, ServerError)

    assert said == "The API server SERVER failed (HTTP 500): etcd is gone."
    assert requests == 3


async def test_an_overloaded_server_is_asked_again_when_it_says(tmp_path: Path):
    answers = iter([status(429, "TooManyRequests", **{"Retry-After": "0"}), status(200)])

    async def handler(request: web.Request) -> web.StreamResponse:
        return await next(answers)(request)

    async with talking_to(handler, tmp_path) as (api, server):
        assert (await api.list_all(NODES, Node)).items == ()

    assert len(server.asked) == 2


async def test_a_server_that_asks_for_too_much_patience_is_not_waited_for(tmp_path: Path):
    said, requests = await failure(
        status(429, "TooManyRequests", "too many requests", **{"Retry-After": "60"}), tmp_path, OverloadedError
    )

    assert said == "The API server SERVER is overloaded (HTTP 429): too many requests."
    assert requests == 1


async def test_changes_are_not_repeated_after_a_failure_inside(tmp_path: Path):
    """A 500 may come after the object was made."""
    async with talking_to(status(500), tmp_path) as (api, server):
        with pytest.raises(ServerError):
            await api.create("/api/v1/namespaces/shop/pods", {}, Node)

    assert len(server.asked) == 1


async def test_a_hang_ends_at_the_deadline(tmp_path: Path):
    servers: list[ScriptedServer] = []
    async with talking_to(hang(lambda: servers[0]), tmp_path, request_s=0.05) as (api, server):
        servers.append(server)
        with pytest.raises(DeadlineError) as raised:
            await api.list_all(NODES, Node)

    assert str(raised.value) == f"The API server {server.url} did not answer within 0.05 s."
    assert len(server.asked) == 1


@pytest.mark.parametrize("handler", [drop, drop_midway])
async def test_a_dropped_connection_is_tried_again(handler: Handler, tmp_path: Path):
    said, requests = await failure(handler, tmp_path, UnreachableError)

    assert said.startswith("The API server SERVER closed the connection in the middle of an answer (")
    assert requests >= 3  # aiohttp tries once more itself where nothing was answered


async def test_refused(tmp_path: Path):
    url = f"http://127.0.0.1:{closed_port()}"
    async with Api.connect(kubeconfig(tmp_path, url), backoff=QUICK) as api:
        with pytest.raises(UnreachableError) as raised:
            await api.list_all(NODES, Node)

    assert str(raised.value) == f"The API server {url} refuses connections: does it run, and is its address right?"


async def test_something_that_is_no_api_server(tmp_path: Path):
    async def handler(_: web.Request) -> web.StreamResponse:
        return web.Response(text="<html>Log in to the hotel network</html>", content_type="text/html")

    said, requests = await failure(handler, tmp_path, ServerError)

    assert said.startswith("SERVER does not answer /api/v1/nodes as a Kubernetes API server (")
    assert requests == 1


async def test_an_untrusted_certificate(tmp_path: Path):
    async with (
        serving(status(200), tls=self_signed(tmp_path)) as server,
        Api.connect(kubeconfig(tmp_path, server.url), backoff=QUICK) as api,
    ):
        with pytest.raises(UnreachableError) as raised:
            await api.list_all(NODES, Node)

    assert raised.value.kind == "tls"
    assert str(raised.value).startswith(f"The API server {server.url} cannot be trusted (")
    assert str(raised.value).endswith(": check certificate-authority-data in the kubeconfig.")


async def test_a_trusted_certificate_under_another_name(tmp_path: Path):
    """`tls-server-name` is for clusters behind a load balancer's address."""
    tls = self_signed(tmp_path)
    cluster = {"certificate-authority": str(tmp_path / "tls.crt"), "tls-server-name": "api.lab"}
    async with (
        serving(status(200), tls=tls) as server,
        Api.connect(kubeconfig(tmp_path, server.url, cluster=cluster), backoff=QUICK) as api,
    ):
        assert (await api.list_all(NODES, Node)).items == ()


async def test_no_kubeconfig():
    with pytest.raises(ConfigurationError) as raised:
        async with Api.connect("/nonexistent/kubeconfig"):
            pass

    assert str(raised.value) == (
        "The kubeconfig /nonexistent/kubeconfig cannot be used: there is no such file. "
        "Name one with --kubeconfig or in KUBECONFIG (without a cluster to try: make demo)."
    )


async def test_an_unknown_context(tmp_path: Path):
    path = kubeconfig(tmp_path, "http://127.0.0.1:1")
    with pytest.raises(ConfigurationError) as raised:
        async with Api.connect(path, "production"):
            pass

    assert f"The kubeconfig {path} cannot be used" in str(raised.value)
    assert "production" in str(raised.value)


@pytest.mark.parametrize(
    "text", ["[", "just text", "{}", "clusters: 3\ncontexts: 4\nusers: 5\ncurrent-context: a\n", ""]
)
async def test_a_broken_kubeconfig_is_a_sentence(text: str, tmp_path: Path):
    (tmp_path / "config").write_text(text)
    with pytest.raises(ConfigurationError, match="cannot be used"):
        async with Api.connect(str(tmp_path / "config")):
            pass


async def test_a_credential_plugin_gives_the_token(tmp_path: Path):
    plugin = plugin_printing(tmp_path, '{"kind": "ExecCredential", "status": {"token": "from-plugin"}}')
    async with serving(status(200)) as server, Api.connect(kubeconfig(tmp_path, server.url, exec=plugin)) as api:
        await api.list_all(NODES, Node)

    assert server.authorizations == ["Bearer from-plugin"]


async def test_a_failing_credential_plugin_says_what_it_said(tmp_path: Path):
    plugin = plugin_printing(tmp_path, "", exit_code=1, complaint="Your session has expired. Run: aws sso login")
    with pytest.raises(UnreachableError) as raised:
        async with Api.connect(kubeconfig(tmp_path, "http://127.0.0.1:1", exec=plugin)):
            pass

    assert str(raised.value) == (
        f"The credential plugin for http://127.0.0.1:1 failed: {plugin['command']}: "
        "Your session has expired. Run: aws sso login."
    )


async def test_a_missing_credential_plugin_says_how_to_get_it(tmp_path: Path):
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "no-such-login",
        "installHint": "See the wiki",
    }
    with pytest.raises(UnreachableError) as raised:
        async with Api.connect(kubeconfig(tmp_path, "http://127.0.0.1:1", exec=plugin)):
            pass

    assert str(raised.value) == (
        "The credential plugin for http://127.0.0.1:1 failed: no-such-login is not installed. See the wiki."
    )


async def test_certificates_do_not_stay_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The official loader writes keys to temporary files and leaves them there until the process exits."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    self_signed(tmp_path)
    encoded = base64.b64encode((tmp_path / "tls.crt").read_bytes()).decode()
    key = base64.b64encode((tmp_path / "tls.key").read_bytes()).decode()
    path = kubeconfig(
        tmp_path,
        "https://127.0.0.1:1",
        cluster={"certificate-authority-data": encoded},
        **{"client-certificate-data": encoded, "client-key-data": key},
    )
    async with Api.connect(path):
        assert list(temporary.iterdir()) == []


def plugin_printing(directory: Path, output: str, *, exit_code: int = 0, complaint: str = "") -> dict[str, object]:
    script = directory / "login"
    script.write_text(f"#!/bin/sh\necho '{output}'\necho '{complaint}' >&2\nexit {exit_code}\n")
    script.chmod(0o755)
    return {"apiVersion": "client.authentication.k8s.io/v1", "command": str(script)}


def self_signed(directory: Path) -> ssl.SSLContext:
    """A server's TLS context with a certificate for api.lab that nobody trusts; files tls.crt and tls.key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.lab")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("api.lab")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (directory / "tls.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (directory / "tls.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "tls.crt", directory / "tls.key")
    return context
