"""`cnibot incidents …`: what the bot keeps of incidents."""

import asyncio
import enum
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from bot.cli.common import begin, errors_explained, say, say_exactly, the_store
from bot.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from bot.store import Store

T = TypeVar("T")

incidents = typer.Typer(
    name="incidents",
    help="Incidents as the bot keeps them: the open ones, and each as a document.",
    no_args_is_help=True,
)


class Form(enum.StrEnum):
    """The forms of an incident."""

    MARKDOWN = "markdown"
    JSON = "json"


@incidents.command("list")
def list_open() -> None:
    """The open incidents, latest change first."""
    from bot.render.incidents import at_words, scope_of  # noqa: PLC0415 only these commands need it

    async def work(store: "Store") -> list[str]:
        found = await store.incidents.open_ones()
        return [
            f"{one.id}  {one.status:<12}  {at_words(one.updated_at)}  {scope_of(one)}: {one.headline or one.summary}"
            for one in found
        ]

    for line in _with_store(work) or ["No incident is open."]:
        say(_line(line))


@incidents.command("export")
def export(
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="The incident's id: inc-….", show_default=False)],
    output: Annotated[Form, typer.Option("--output", "-o", help="The form.")] = Form.MARKDOWN,
    file: Annotated[Path | None, typer.Option("--file", help="Where to; else standard output.", dir_okay=False)] = None,
) -> None:
    """Write an incident as the draft of a post-mortem, or as JSON."""
    from bot.incidents.chronicle import chronicle  # noqa: PLC0415
    from bot.render.incidents import encoded, post_mortem  # noqa: PLC0415

    async def work(store: "Store") -> str:
        found = await chronicle(store, incident_id)
        return encoded(found) if output is Form.JSON else post_mortem(found)

    text = _with_store(work)
    if file is None:
        say(text, sink="json" if output is Form.JSON else "markdown", end="")
        return
    with errors_explained():
        try:
            file.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(str(file), f"writing failed: {error.strerror or error}") from error


@incidents.command("link")
def link(
    incident_id: Annotated[str, typer.Argument(metavar="ID", help="The incident's id: inc-….", show_default=False)],
) -> None:
    """Print a link to the incident's page, good for a week for anyone who has it. Needs CNIBOT_PUBLIC_URL."""
    from bot.incidents.links import Links  # noqa: PLC0415
    from bot.store import UnknownIncidentError  # noqa: PLC0415
    from bot.store.link_key import link_key  # noqa: PLC0415

    async def work(store: "Store") -> str:
        base = begin().public_url
        if not base:
            raise ConfigurationError("CNIBOT_PUBLIC_URL", "it is not set: nobody reaches the pages")
        if await store.incidents.get(incident_id) is None:
            raise UnknownIncidentError(incident_id)
        return Links(base=base, key=await link_key(store.connection)).to(incident_id)

    say_exactly(f"{_with_store(work)}\n")


def _with_store(work: "Callable[[Store], Awaitable[T]]") -> T:
    async def run() -> T:
        async with the_store(settings) as store:
            return await work(store)

    with errors_explained():
        settings = begin()
        return asyncio.run(run())


def _line(text: str) -> str:
    """Without what names could do to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)
