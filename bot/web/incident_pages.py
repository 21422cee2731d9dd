"""`GET /incidents/ID`: an incident's page, for whoever has its signed link."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from fastapi import Request, Response
from fastapi.responses import HTMLResponse, PlainTextResponse

from bot.incidents.links import Links
from bot.render.incident_page import POLICY
from bot.store import StoreUnavailableError, UnknownIncidentError

HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "private, no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class IncidentPages:
    """The pages, and who may read them."""

    links: Links
    draw: Callable[[str], Awaitable[str]]
    """The page of an incident. Errors: `UnknownIncidentError`, `StoreUnavailableError`."""

    async def answer(self, incident_id: str, request: Request) -> Response:
        """The page; without a good link not even whether there is such an incident."""
        asked = request.query_params
        if not self.links.is_good(incident_id, asked.get("expires", ""), asked.get("signature", "")):
            return PlainTextResponse("This link has ended, or is none of cnibot's. Ask for a new one.\n", 403, HEADERS)
        try:
            return HTMLResponse(await self.draw(incident_id), headers=HEADERS)
        except UnknownIncidentError as error:
            return PlainTextResponse(f"{error}\n", 404, HEADERS)
        except StoreUnavailableError:
            return PlainTextResponse("The store is away; try again.\n", 503, HEADERS)
