"""HTTP answers: JSON bodies with the headers of the real server, and which form of them a client accepts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web

from bot.lab.cluster.apiserver.errors import ApiError

_HEADERS = {"Cache-Control": "no-cache, private"}
_PARTIAL = {"PartialObjectMetadata", "PartialObjectMetadataList"}


@dataclass(frozen=True, kw_only=True)
class Form:
    """The form in which a client wants objects: `as_kind` is `Table`, `PartialObjectMetadata` or empty."""

    as_kind: str = ""
    as_group: str = ""
    as_version: str = ""

    @property
    def is_table(self) -> bool:
        """Whether kubectl wants the columns that it prints."""
        return self.as_kind == "Table"

    @property
    def is_partial(self) -> bool:
        """Whether only metadata is wanted."""
        return self.as_kind in _PARTIAL


def accepted(header: str, forms: tuple[str, ...]) -> Form:
    """The first acceptable form of an Accept header; `forms` are the `as=` kinds on offer; raises 406."""
    for part in (header or "*/*").split(","):
        media, *parameters = [piece.strip() for piece in part.split(";")]
        values = {name: value for name, _, value in (each.partition("=") for each in parameters)}
        if media not in {"application/json", "application/*", "*/*", "application/yaml"}:
            continue
        kind = values.get("as", "")
        if kind and kind not in forms:
            continue
        return Form(as_kind=kind, as_group=values.get("g", ""), as_version=values.get("v", ""))
    message = "only the following media types are accepted: application/json, application/yaml"
    raise ApiError(406, "NotAcceptable", message)


def body(content: bytes, *, status: int = 200, content_type: str = "application/json") -> web.Response:
    """A whole answer."""
    return web.Response(body=content, status=status, headers={**_HEADERS, "Content-Type": content_type})


def answer(content: Any, *, status: int = 200, warnings: tuple[str, ...] = ()) -> web.Response:
    """A JSON answer, with one Warning header per warning."""
    response = body(msgspec.json.encode(content), status=status)
    for warning in warnings:
        quoted = warning.replace("\\", "\\\\").replace('"', '\\"')
        response.headers.add("Warning", f'299 - "{quoted}"')
    return response


def text(content: str, *, status: int = 200) -> web.Response:
    """A plain text answer."""
    return body(content.encode(), status=status, content_type="text/plain; charset=utf-8")


def refusal(error: ApiError) -> web.Response:
    """The answer that an error is."""
    return answer(error.to_status(), status=error.code)


def page_not_found() -> web.Response:
    """What paths get that no API group serves."""
    return text("404 page not found\n", status=404)


def success(details: Mapping[str, Any]) -> dict[str, Any]:
    """The `Status` of a finished deletion."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": dict(details)}
