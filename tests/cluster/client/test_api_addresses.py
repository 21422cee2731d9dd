"""In a pod, the API server is reached when its Service is not; its certificate is verified at every address."""

import ipaddress
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cluster.client.api import Api
from bot.cluster.client.api_addresses import FILE_NAME, LOCAL, ApiAddresses, is_address, use_addresses
from bot.cluster.objects import Namespace
from bot.cluster.objects.services import Endpoint, EndpointPort, EndpointSlice
from bot.domain.errors import UnreachableError
from bot.lab.cluster.apiserver.pki import Pki
from tests.cluster.small_cluster import SmallCluster
from tests.contracts.scripted_server import closed_port

DEFAULT = "/api/v1/namespaces/default"


@pytest.fixture
def server(in_pod: Path, cluster: SmallCluster, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the server really is; the Service by which the pod is told of it leads nowhere."""
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(closed_port()))
    return cluster.url.removeprefix("https://")


async def reach() -> str:
    """Read something; the address that it came from."""
    async with Api.connect() as api:
        assert (await api.get(DEFAULT, Namespace)).metadata.name == "default"
        return api.server


async def test_a_configured_address_is_used(server: str):
    use_addresses(ApiAddresses([server]))

    assert await reach() == f"https://{server}"


async def test_without_another_address_the_service_is_named_as_unreachable(server: str):
    use_addresses(ApiAddresses())

    with pytest.raises(UnreachableError, match="refuses connections"):
        await reach()


async def test_endpoints_are_learned_while_the_service_works(
    in_pod: Path, cluster: SmallCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """What one process learned helps the next one, which finds the Service broken."""
    server = cluster.url.removeprefix("https://")
    host, _, port = server.partition(":")
    cluster.add(
        "endpointslices.discovery.k8s.io",
        "kubernetes-1",
        "default",
        metadata={"labels": {"kubernetes.io/service-name": "kubernetes"}},
        addressType="IPv4",
        endpoints=[{"addresses": [host]}],
        ports=[{"port": int(port)}],
    )
    use_addresses(ApiAddresses((), tmp_path / "state"))
    await reach()
    kept = json.loads((tmp_path / "state" / FILE_NAME).read_text())

    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(closed_port()))
    use_addresses(ApiAddresses((), tmp_path / "state"))

    assert server in kept
    assert await reach() == f"https://{server}"


async def test_a_server_that_another_authority_vouches_for_is_passed_over(server: str, in_pod: Path, tmp_path: Path):
    """Whoever listens at a learned address is not believed for that."""
    stranger = Pki.create(tmp_path / "stranger")
    (in_pod / "ca.crt").write_text(stranger.ca_pem)
    use_addresses(ApiAddresses([server]))

    with pytest.raises(UnreachableError):
        await reach()


async def test_the_certificate_must_be_for_the_service(server: str, monkeypatch: pytest.MonkeyPatch):
    """The right authority is not enough: it may have signed for others, too."""
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.99.0.1")
    use_addresses(ApiAddresses([server]))

    with pytest.raises(UnreachableError):
        await reach()


async def test_an_address_that_fails_in_the_middle_is_left(server: str, cluster: SmallCluster):
    """Nothing was sent, so the same is asked at the next address."""
    known = ApiAddresses([server])
    use_addresses(known)
    async with Api.connect() as api:
        api._transport._login.chosen = f"127.0.0.1:{closed_port()}"  # pyright: ignore[reportPrivateUsage]

        assert (await api.get(DEFAULT, Namespace)).metadata.name == "default"
        assert api.server == f"https://{server}"


def test_order_is_configured_learned_local_service(tmp_path: Path):
    (tmp_path / FILE_NAME).write_text('["192.0.2.1:6443"]')
    known = ApiAddresses(["api.example:443"], tmp_path)

    assert known.candidates("10.43.0.1:443") == ("api.example:443", "192.0.2.1:6443", *LOCAL, "10.43.0.1:443")

    known.shun("api.example:443")
    assert known.candidates("10.43.0.1:443") == ("192.0.2.1:6443", *LOCAL, "10.43.0.1:443", "api.example:443")


@pytest.mark.parametrize("text", ["", "{", "[7]", '["http://evil/:1", "a b:1", "host:99999", "host:0"]', '{"a": 1}'])
def test_a_file_of_another_shape_says_nothing(text: str, tmp_path: Path):
    (tmp_path / FILE_NAME).write_text(text)

    assert ApiAddresses((), tmp_path).learned == ()


def test_a_directory_that_cannot_be_written_costs_nothing():
    known = ApiAddresses((), Path("/proc/none"))
    known.learn([endpoint_slice("192.0.2.1")])

    assert known.learned == ("192.0.2.1:6443",)


def test_a_service_without_endpoints_teaches_nothing(tmp_path: Path):
    known = ApiAddresses((), tmp_path)
    known.learn([endpoint_slice("192.0.2.1")])
    known.learn([])

    assert ApiAddresses((), tmp_path).learned == ("192.0.2.1:6443",)


@given(st.lists(st.ip_addresses().map(str) | st.text(max_size=20), max_size=40))
def test_what_is_learned_are_addresses_and_few(addresses: list[str]):
    known = ApiAddresses()
    known.learn([endpoint_slice(*addresses)])

    assert len(known.learned) <= 16
    assert all(is_address(each) for each in known.learned)
    hosts = [each.rpartition(":")[0].strip("[]") for each in known.learned]
    assert {ipaddress.ip_address(host) for host in hosts} <= {each for each in map(parsed, addresses) if each}


def parsed(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def endpoint_slice(*addresses: str) -> EndpointSlice:
    return EndpointSlice(endpoints=(Endpoint(addresses=addresses),), ports=(EndpointPort(port=6443),))
