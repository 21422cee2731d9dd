"""What Helm keeps of a release is foreign: unpacked within bounds, and refused where it is not as Helm writes it."""

from __future__ import annotations

import base64
import gzip
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cluster.helm.releases import (
    MAX_PAYLOAD,
    ReleaseUnreadableError,
    objects_of,
    secret_name,
    stored_revision,
)

NAME = "sh.helm.release.v1.calico.v3"
MANIFEST = "---\n# Source: a\nkind: ConfigMap\napiVersion: v1\nmetadata: {name: a}\n---\n\n---\n"


def payload(**changes: Any) -> dict[str, Any]:
    chart = {"metadata": {"name": "calico", "version": "1.2.3"}, "templates": [{"name": "a", "data": "e30="}]}
    info = {"status": "deployed", "description": "Upgrade complete", "last_deployed": "2026-12-01T00:00:00Z"}
    content = {"name": "calico", "namespace": "kube-system", "version": 3, "manifest": MANIFEST, "config": None}
    return {**content, "chart": chart, "info": info, **changes}


def secret(content: bytes, *, zipped: bool = True, name: str = NAME) -> dict[str, Any]:
    packed = base64.b64encode(gzip.compress(content) if zipped else content)
    return {
        "metadata": {"name": name, "namespace": "kube-system"},
        "data": {"release": base64.b64encode(packed).decode()},
    }


def kept(**changes: Any) -> Any:
    return stored_revision(secret(msgspec.json.encode(payload(**changes))))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_revision_is_read_as_helm_writes_it_packed_or_not(zipped: bool) -> None:  # noqa: FBT001
    found = stored_revision(secret(msgspec.json.encode(payload()), zipped=zipped))

    assert (found.release, found.namespace, found.number, found.status) == ("calico", "kube-system", 3, "deployed")
    assert (found.chart, found.version, found.values, found.is_server_side) == ("calico", "1.2.3", {}, False)
    assert [str(one) for one in objects_of(found)] == ["ConfigMap kube-system/a"]


def test_the_digest_is_of_the_content_and_the_same_however_it_is_packed() -> None:
    content = msgspec.json.encode(payload())

    one, other = stored_revision(secret(content)), stored_revision(secret(content, zipped=False))
    assert one.payload_sha256 == other.payload_sha256
    assert one.payload_sha256 != kept(config={"a": 1}).payload_sha256
    assert one.manifest_sha256 == kept(config={"a": 1}).manifest_sha256


def test_one_that_unpacks_to_too_much_is_refused_without_being_unpacked_whole() -> None:
    with pytest.raises(ReleaseUnreadableError, match="larger than 32 MiB"):
        stored_revision(secret(b" " * (MAX_PAYLOAD + 2)))


def test_one_that_ends_in_the_middle_is_refused() -> None:
    whole = gzip.compress(msgspec.json.encode(payload()))
    data = base64.b64encode(base64.b64encode(whole[:-20])).decode()

    with pytest.raises(ReleaseUnreadableError, match="ends in the middle"):
        stored_revision({"metadata": {"name": NAME, "namespace": "n"}, "data": {"release": data}})


def test_another_revision_than_the_name_says_is_refused() -> None:
    content = msgspec.json.encode(payload())

    with pytest.raises(ReleaseUnreadableError, match="another revision than its name says"):
        stored_revision(secret(content, name=secret_name("calico", 4)))


@pytest.mark.parametrize(
    "manifest",
    [
        "a: [",
        "- a list",
        "metadata: {}",
        "kind: A\nmetadata: {name: a}\nx: &x [*x]\n",
        "a: &a [1,2,3,4,5,6,7,8,9]\n"
        + "".join(f"{new}: &{new} [{','.join([f'*{old}'] * 9)}]\n" for old, new in ("ab", "bc", "cd", "de", "ef")),
    ],
)
def test_a_manifest_that_is_none_or_too_much_is_refused(manifest: str) -> None:
    with pytest.raises(ReleaseUnreadableError, match=r"^The manifest of revision 3 of kube-system/calico"):
        objects_of(kept(manifest=manifest))


@given(st.one_of(st.binary(max_size=200), st.just(b"{}"), st.just(b"[1]"), st.just(b'{"name": 1, "version": "x"}')))
def test_anything_else_is_refused_by_a_sentence(content: bytes) -> None:
    for one in (secret(content), secret(content, zipped=False), {"metadata": {"name": NAME}, "data": {"release": 7}}):
        with pytest.raises(ReleaseUnreadableError, match="cannot be read"):
            stored_revision(one)
