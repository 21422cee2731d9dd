"""Files in messages: pictures as pictures, text with its beginning, and where the page serves them."""

from __future__ import annotations

from typing import Final

from fastapi import Response
from markupsafe import Markup

from bot.lab.slack.message import File
from bot.lab.slack.workspace_state import WorkspaceState

_PICTURES: Final = frozenset({"image/png", "image/jpeg", "image/gif"})
_SHOWN_LINES: Final = 24
_SHOWN_CHARACTERS: Final = 6000


def address(file: File) -> str:
    """Where this page serves the file."""
    return f"/files/{file.id}"


def picture_of(state: WorkspaceState, url: str) -> str | None:
    """The page's address for a picture that an app names by id or by one of the file's own URLs."""
    for file in state.files.values():
        if file.mimetype in _PICTURES and url in {file.id, file.url, f"{file.url}/download", file.permalink}:
            return address(file)
    return None


def file_html(file: File) -> Markup:
    """A file below a message."""
    title = file.title or file.name
    if file.mimetype in _PICTURES:
        return Markup(
            '<figure class="file picture"><figcaption>{title}</figcaption>'
            '<a href="{url}" target="_blank"><img src="{url}" alt="{alt}"></a></figure>'
        ).format(title=title, url=address(file), alt=file.alt_txt or title)
    return Markup(
        '<details class="file text"><summary><b>{title}</b> <small>{kind} · {size}</small></summary>'
        '<pre>{beginning}</pre><a href="{url}" target="_blank">Open the whole file</a></details>'
    ).format(
        title=title,
        kind=file.filetype.upper(),
        size=_size(file.length),
        beginning=_beginning(file.content or b""),
        url=address(file),
    )


def served(state: WorkspaceState, file_id: str) -> Response:
    """The file, so that no browser runs what is in it."""
    file = state.files.get(file_id)
    if file is None or file.content is None:
        return Response("there is no such file", status_code=404, media_type="text/plain")
    kind = file.mimetype if file.mimetype in _PICTURES else "text/plain; charset=utf-8"
    headers = {"X-Content-Type-Options": "nosniff", "Content-Security-Policy": "default-src 'none'; sandbox"}
    return Response(file.content, media_type=kind, headers=headers)


def _size(length: int) -> str:
    return f"{length} bytes" if length < 1000 else f"{length / 1000:.1f} kB"


def _beginning(content: bytes) -> str:
    lines = content[:_SHOWN_CHARACTERS].decode(errors="replace").splitlines()
    more = ["…"] if len(content) > _SHOWN_CHARACTERS or len(lines) > _SHOWN_LINES else []
    return "\n".join(lines[:_SHOWN_LINES] + more)
