"""A message as titled parts, fitted into Slack's room: what is least needed goes first, and it is said that it went.

Blocks and text come from the same parts, so that they cannot differ.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import LiteralString, TypeVar

from bot.domain.listing import left_out
from bot.domain.outgoing import Content
from bot.slack.views import blocks
from bot.slack.views.blocks import Block
from bot.slack.views.text import NOTHING, Mrkdwn, escape, joined, plain, said, units

MAX_TEXT = 4_000
"""Slack advises it for posts and refuses more in edits; screen readers have only the text."""
_ROOM = MAX_TEXT - 100
T = TypeVar("T")
_MAX_PIECE = blocks.MAX_SECTION - 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A titled list. Every item stands alone and is at most a section long."""

    title: Mrkdwn = NOTHING
    items: tuple[Mrkdwn, ...] = ()
    rank: int = 0
    """Where room is short, parts of a high rank give way first."""
    least: int = 1
    """So many items stay as long as other parts can still give way."""
    hidden: int = 0
    """Further items that are not in `items`."""
    more: LiteralString = "in Details"
    """Where they are."""
    is_small: bool = False
    """Small print."""
    is_whole: bool = False
    """Slack folds none of it behind "see more"."""
    after: tuple[Block, ...] = ()
    """Blocks under it that need no words in the text."""

    @property
    def text(self) -> Mrkdwn:
        """The whole part; one without items only counts them."""
        return Mrkdwn("\n".join(self._rows()))

    def _rows(self) -> Iterator[str]:
        if not self.items:
            if self.hidden:
                yield joined(self.title, said(" "), escape(str(self.hidden)), said(", "), said(self.more))
            return
        if self.title:
            yield self.title
        yield from self.items
        if self.hidden:
            yield joined(said("… "), escape(left_out(self.hidden)), said(" "), said(self.more))

    def without_last(self) -> "Part":
        """One item less, counted as hidden."""
        return replace(self, items=self.items[:-1], hidden=self.hidden + 1)

    def pieces(self) -> Iterator[Mrkdwn]:
        """The text in pieces that fit a section, cut between items."""
        rows: list[str] = []
        used = 0
        for row in self._rows():
            if rows and used + units(row) + 1 > _MAX_PIECE:
                yield Mrkdwn("\n".join(rows))
                rows, used = [], 0
            rows.append(row)
            used += units(row) + 1
        if rows:
            yield Mrkdwn("\n".join(rows))

    def blocks(self) -> Iterator[Block]:
        """The pieces as blocks."""
        for piece in self.pieces():
            yield blocks.context(piece) if self.is_small else blocks.section(piece, is_whole=self.is_whole)
        yield from self.after


def part(
    title: Mrkdwn, sources: Sequence[T], say: Callable[[T], Mrkdwn], *, most: int, rank: int = 0, least: int = 1
) -> Part:
    """The first `most` of the sources, said; those that come to nothing are skipped, the others are counted."""
    items: list[Mrkdwn] = []
    taken = 0
    for source in sources:
        if len(items) == most:
            break
        taken += 1
        if item := say(source):
            items.append(item)
    return Part(title=title, items=tuple(items), hidden=len(sources) - taken, rank=rank, least=least)


def message(heading: str, parts: Sequence[Part], *foot: Block) -> Content:
    """A message: heading, parts, and blocks that need no words in the text (buttons with their own labels)."""
    shown = fitted(parts, _ROOM - (units(heading_text(heading)) + 2 if heading else 0))
    rows: list[Block] = [blocks.header(heading)] if heading else []
    rows += [block for one in shown for block in one.blocks()]
    texts = [heading_text(heading), *(one.text for one in shown)]
    text = "\n\n".join(each for each in texts if each)
    return Content(text=text or " ", blocks=(*rows[: blocks.MAX_MESSAGE_BLOCKS - len(foot)], *foot))


def heading_text(heading: str) -> str:
    """The heading as the text has it."""
    return f"*{escape(plain(heading, blocks.MAX_HEADER).replace('*', ' '), blocks.MAX_HEADER * 2)}*" if heading else ""


def fitted(parts: Sequence[Part], room: int) -> list[Part]:
    """The parts with as many items as fit: first down to `least` of each, then to one, then to a mere count."""
    found = [one for one in parts if one.items or one.hidden or one.after]
    order = sorted(range(len(found)), key=lambda at: -found[at].rank)
    size = sum(units(one.text) + 2 for one in found)
    for step in ("least", "one", "none"):
        for at in order:
            least = {"least": max(1, found[at].least), "one": 1, "none": 0}[step]
            while size > room and len(found[at].items) > least:
                before = units(found[at].text)
                found[at] = found[at].without_last()
                size += units(found[at].text) - before
    return found


def chapter(
    title: str, sources: Sequence[T], say: Callable[[T], Iterable[Mrkdwn]], *, room: int, most_blocks: int
) -> list[Block]:
    """A heading and sections for a view, in at most so many blocks and bytes of JSON; the rest is counted.

    Each source is said in one or several rows; one that has not room for all of its rows is counted too.
    """
    pages: list[list[str]] = [[]]
    used = cost = whole = 0
    for source in sources:
        for row in say(source):
            size = units(row) + 1
            cost += len(json.dumps(row))
            if used + size > _MAX_PIECE:
                pages.append([])
                used = 0
            if cost > room or len(pages) >= most_blocks:
                break
            pages[-1].append(row)
            used += size
        else:
            whole += 1
            continue
        break
    if whole < len(sources):
        more = joined(said("… "), escape(left_out(len(sources) - whole)), said(": *Share report* has them all"))
        pages = [*pages[: most_blocks - 2], [more]]
    sections = [blocks.section(Mrkdwn("\n".join(page))) for page in pages if page]
    return [blocks.header(title), *sections] if sections else []
