"""Decoding what real API servers answer, and what hostile or broken ones might."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.cluster.client.decoding import decode_object, decode_page
from bot.cluster.client.errors import error_of
from bot.cluster.client.paths import api_path, attributes
from bot.cluster.client.wire import Response
from bot.cluster.objects import (
    ControllerRevision,
    CustomObject,
    DaemonSet,
    EndpointSlice,
    Event,
    KubeStruct,
    NetworkPolicy,
    Node,
    Pod,
    Service,
)
from bot.domain.errors import ExpiredError, ForbiddenError

RECORDINGS = Path(__file__).parents[1] / "recordings"
KINDS: list[type[KubeStruct]] = [Pod, Node, Service, EndpointSlice, NetworkPolicy, DaemonSet, Event, CustomObject]


def recorded(name: str) -> Any:
    return json.loads((RECORDINGS / f"{name}.json").read_text())


def body(name: str) -> bytes:
    return json.dumps(recorded(name)["response"]["body"]).encode()


def test_pods():
    page = decode_page(body("list-pods"), Pod)
    pod = page.items[0]

    assert page.skipped == 0
    assert pod.metadata.namespace == "shop"
    assert pod.spec.node_name.startswith("node-")
    assert pod.status.pod_ip == pod.status.pod_ips[0].ip
    assert pod.spec.containers[0].ports[0].container_port == 8080
    assert pod.metadata.creation_timestamp is not None
    assert pod.metadata.owner_references[0].kind == "ReplicaSet"
    assert pod.is_ready


def test_nodes():
    node = decode_page(body("list-nodes"), Node).items[0]

    assert node.internal_ip
    assert node.spec.pod_cidr == node.spec.pod_cidrs[0]
    assert node.status.node_info.kubelet_version


def test_endpoint_slices():
    slices = decode_page(body("list-endpointslices"), EndpointSlice).items

    assert {each.service_name for each in slices} >= {"web"}
    endpoint = next(endpoint for each in slices for endpoint in each.endpoints)
    assert endpoint.addresses
    assert endpoint.target_ref is not None
    assert endpoint.target_ref.kind == "Pod"


def test_events_know_when_they_were_last_seen():
    events = decode_page(body("list-events"), Event).items

    assert events
    assert all(event.last_seen_at is not None for event in events)
    assert all(event.involved_object.name for event in events)


def test_daemon_sets_and_their_revisions():
    daemon_set = decode_object(body("get-daemonset"), DaemonSet)
    revisions = decode_page(body("list-controllerrevisions"), ControllerRevision).items

    assert daemon_set.spec.template.spec.containers[0].image
    assert daemon_set.status.desired_number_scheduled > 0
    assert sorted(revision.revision for revision in revisions) == [1, 2]


def test_a_page_says_where_the_next_begins():
    page = decode_page(body("list-pods-limit-1"), Pod)

    assert len(page.items) == 1
    assert page.metadata.continue_
    assert page.metadata.remaining_item_count


@pytest.mark.parametrize("name", ["forbidden-nodes", "forbidden-exec"])
def test_recorded_refusals_name_the_permission(name: str):
    recording = recorded(name)
    asked = attributes(recording["request"]["method"], recording["request"]["path"].partition("?")[0])
    error = error_of(Response(status=403, body=body(name)), asked, server="https://lab")

    assert isinstance(error, ForbiddenError)
    assert error.why == ""
    message = recording["response"]["body"]["message"]
    assert f'cannot {error.verb} resource "{error.resource}" in API group "{error.group}"' in message


def test_an_expired_list():
    asked = attributes("GET", "/api/v1/namespaces/shop/configmaps")
    assert isinstance(error_of(Response(status=410, body=body("list-expired")), asked, server=""), ExpiredError)


def with_nulls(value: Any, path: str = "$") -> list[tuple[str, Any]]:
    """Every variant of a document in which one value is null."""
    if isinstance(value, dict):
        items: dict[str, Any] = value  # pyright: ignore[reportUnknownVariableType]
        found: list[tuple[str, Any]] = []
        for key, item in items.items():
            found.append((f"{path}.{key}", {**items, key: None}))
            found += [(where, {**items, key: variant}) for where, variant in with_nulls(item, f"{path}.{key}")]
        return found
    if isinstance(value, list) and value:
        first: Any = value[0]  # pyright: ignore[reportUnknownVariableType]
        return [(where, [variant]) for where, variant in with_nulls(first, f"{path}[0]")]
    return []


@pytest.mark.parametrize(
    ("name", "kind"),
    [("list-pods", Pod), ("list-nodes", Node), ("list-endpointslices", EndpointSlice), ("list-events", Event)],
)
def test_null_is_as_good_as_absent(name: str, kind: type[KubeStruct]):
    """Real servers send null for empty lists and unset times; which ones differs by version."""
    original = recorded(name)["response"]["body"]["items"][0]
    for where, variant in with_nulls(original):
        page = decode_page(json.dumps({"items": [variant]}).encode(), kind)
        assert (len(page.items), page.skipped) == (1, 0), where


def test_only_the_object_that_makes_no_sense_is_left_out():
    good = recorded("list-pods")["response"]["body"]["items"]
    page = decode_page(json.dumps({"items": [good[0], {"metadata": []}, 7, good[1]]}).encode(), Pod)

    assert [pod.metadata.uid for pod in page.items] == [pod["metadata"]["uid"] for pod in good[:2]]
    assert page.skipped == 2


@pytest.mark.parametrize("junk", [b"", b"<html>", b"[]", b"7", b'{"items": 7}', b"[" * 100_000, b'{"a":' * 100_000])
def test_what_is_no_list(junk: bytes):
    with pytest.raises(ValueError, match=r"."):
        decode_page(junk, Pod)


def test_what_kubectl_keeps_of_an_object_is_not_kept():
    """The annotation holds the whole object, Secrets' data included."""
    text = b'{"metadata": {"annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{}", "a": "b"}}}'

    assert decode_object(text, Pod).metadata.annotations == {"a": "b"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
FIELDS = st.sampled_from(["metadata", "spec", "status", "items", "name", "labels", "containers", "conditions", "x"])


@given(st.sampled_from(KINDS), st.dictionaries(FIELDS, JSON))
def test_any_document_decodes_or_is_refused(kind: type[KubeStruct], document: dict[str, Any]):
    data = json.dumps(document).encode()
    try:
        decoded = decode_object(data, kind)
    except ValueError:
        return
    assert isinstance(decoded, kind)
    assert msgspec.json.decode(msgspec.json.encode(decoded), type=kind) == decoded


@pytest.mark.parametrize(
    ("method", "path", "verb", "group", "resource", "namespace", "name"),
    [
        ("GET", "/api/v1/nodes", "list", "", "nodes", "", ""),
        ("GET", "/api/v1/namespaces", "list", "", "namespaces", "", ""),
        ("GET", "/api/v1/namespaces/shop", "get", "", "namespaces", "", "shop"),
        ("GET", "/api/v1/namespaces/shop/pods", "list", "", "pods", "shop", ""),
        ("POST", "/api/v1/namespaces/shop/pods", "create", "", "pods", "shop", ""),
        ("GET", "/api/v1/namespaces/shop/pods/a/exec", "get", "", "pods/exec", "shop", "a"),
        ("DELETE", "/apis/apps/v1/namespaces/shop/daemonsets/a", "delete", "apps", "daemonsets", "shop", "a"),
        ("PATCH", "/apis/cilium.io/v2/ciliumnodes/n", "patch", "cilium.io", "ciliumnodes", "", "n"),
        ("GET", "/version", "get", "", "/version", "", ""),
    ],
)
def test_request_attributes(method: str, path: str, verb: str, group: str, resource: str, namespace: str, name: str):
    asked = attributes(method, path)

    assert (asked.verb, asked.group, asked.resource) == (verb, group, resource)
    assert (asked.namespace, asked.name) == (namespace, name)


def test_names_cannot_leave_their_place_in_a_path():
    assert api_path("pods", namespace="../x", name="a/b?c") == "/api/v1/namespaces/..%2Fx/pods/a%2Fb%3Fc"
