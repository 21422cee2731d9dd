"""`GET /incidents/ID`: for whoever has its link, and for nobody else."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from bot.incidents.links import LINK_S, Links
from bot.render.incident_page import POLICY
from bot.store import Store, StoreUnavailableError, UnknownIncidentError
from bot.store.link_key import link_key
from bot.web.api import build_api
from bot.web.incident_pages import IncidentPages
from tests.web.test_http import served

KEY, NOW = b"k" * 32, 1_796_000_000.0


def links(key: bytes = KEY, at: float = NOW) -> Links:
    return Links(base="https://cnibot.example/", key=key, now=lambda: at)


def path_of(link: str) -> str:
    assert link.startswith("https://cnibot.example/incidents/")
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


async def drawn(incident_id: str) -> str:
    if incident_id == "inc-gone":
        raise UnknownIncidentError(incident_id)
    if incident_id == "inc-away":
        raise StoreUnavailableError("redis", "away")
    return f"<p>{incident_id}</p>"


def api() -> IncidentPages:
    return IncidentPages(links=links(), draw=drawn)


async def test_a_link_opens_its_page() -> None:
    async with served(build_api(incidents=api())) as session, session.get(path_of(links().to("inc-1"))) as answer:
        assert (answer.status, await answer.text()) == (200, "<p>inc-1</p>")
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/incidents/inc-1",
        "/incidents/inc-1?expires=99999999999&signature=",
        "/incidents/inc-1?expires=x&signature=%C3%A4",
        path_of(links().to("inc-2")).replace("inc-2", "inc-1"),
        path_of(links(b"another key").to("inc-1")),
        path_of(links(at=NOW - LINK_S - 7200).to("inc-1")),
    ],
)
async def test_without_a_good_link_nothing_is_told(path: str) -> None:
    async with served(build_api(incidents=api())) as session, session.get(path) as answer:
        assert answer.status == 403
        assert "inc-1" not in await answer.text()


@pytest.mark.parametrize(("incident", "status"), [("inc-gone", 404), ("inc-away", 503)])
async def test_what_cannot_be_shown_is_said(incident: str, status: int) -> None:
    async with served(build_api(incidents=api())) as session, session.get(path_of(links().to(incident))) as answer:
        assert answer.status == status


async def test_without_an_address_for_people_there_are_no_pages() -> None:
    async with served(build_api()) as session, session.get("/incidents/inc-1") as answer:
        assert answer.status == 404


async def test_all_bots_of_a_store_sign_with_one_key(store: Store) -> None:
    first, second = await link_key(store.connection), await link_key(store.connection)
    assert first == second
    assert len(first) == 32
