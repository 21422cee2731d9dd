"""The lab's CoreDNS answers as the kubernetes plugin does."""

from __future__ import annotations

from typing import Any

import pytest

from bot.lab.cluster.images import dns_wire
from bot.lab.cluster.images.coredns import Zone, answer
from bot.lab.cluster.images.outside import answer as outside_answer


def question(name: str, kind: int = 1) -> bytes:
    labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
    return (
        b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00" + labels + b"\x00" + kind.to_bytes(2, "big") + b"\x00\x01"
    )


def outcome(reply: bytes) -> tuple[int, int]:
    """(rcode, number of answers)."""
    return reply[3] & 15, int.from_bytes(reply[6:8], "big")


@pytest.fixture
def zone() -> Zone:
    web: dict[str, Any] = {
        "metadata": {"namespace": "shop", "name": "web"},
        "spec": {"clusterIP": "10.43.1.1", "ports": [{"name": "http", "port": 80}]},
    }
    headless: dict[str, Any] = {"metadata": {"namespace": "shop", "name": "db"}, "spec": {"clusterIP": "None"}}
    aliases: dict[str, Any] = {
        f"shop/{name}": {
            "metadata": {"namespace": "shop", "name": name},
            "spec": {"type": "ExternalName", "externalName": f"{target}.shop.svc.cluster.local"},
        }
        for name, target in (("alias", "web"), ("dangling", "nothing"))
    }
    endpoints = [
        {"addresses": ["10.42.0.8"], "hostname": "db-0", "conditions": {"ready": True}},
        {"addresses": ["10.42.0.9"], "conditions": {"ready": False}},
    ]
    labels = {"kubernetes.io/service-name": "db"}
    made = Zone()
    made.replace("services", {"shop/web": web, "shop/db": headless, **aliases})
    made.replace(
        "slices",
        {"shop/db-x": {"metadata": {"namespace": "shop", "name": "db-x", "labels": labels}, "endpoints": endpoints}},
    )
    return made


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("web.shop.svc.cluster.local", 1, (0, 1)),
        ("WEB.shop.svc.CLUSTER.local", 1, (0, 1)),
        ("web.shop.svc.cluster.local", 28, (0, 0)),
        ("nothing.shop.svc.cluster.local", 1, (3, 0)),
        ("alias.shop.svc.cluster.local", 1, (0, 2)),
        ("dangling.shop.svc.cluster.local", 1, (0, 1)),
        ("cluster.local", 1, (3, 0)),
        ("db.shop.svc.cluster.local", 1, (0, 1)),
        ("db-0.db.shop.svc.cluster.local", 1, (0, 1)),
        ("db-1.db.shop.svc.cluster.local", 1, (3, 0)),
        ("_http._tcp.web.shop.svc.cluster.local", 33, (0, 1)),
        ("_grpc._tcp.web.shop.svc.cluster.local", 33, (0, 0)),
    ],
)
def test_answers(zone: Zone, name: str, kind: int, expected: tuple[int, int]) -> None:
    assert outcome(answer(zone, question(name, kind))) == expected


def test_servfail_until_the_api_was_listed() -> None:
    assert outcome(answer(Zone(), question("web.shop.svc.cluster.local"))) == (2, 0)


def test_changes_are_followed(zone: Zone) -> None:
    zone.change("services", "DELETED", {"metadata": {"namespace": "shop", "name": "web"}})

    assert outcome(answer(zone, question("web.shop.svc.cluster.local"))) == (3, 0)


def test_garbage_is_not_answered(zone: Zone) -> None:
    with pytest.raises(dns_wire.MalformedError):
        answer(zone, b"\x00\x01garbage")


def test_the_world_outside() -> None:
    assert outcome(outside_answer(question("www.example.com"))) == (0, 1)
    assert outcome(outside_answer(question("example.org"))) == (3, 0)
