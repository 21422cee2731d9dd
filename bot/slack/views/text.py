"""Text from anywhere as Slack's mrkdwn, made harmless: it pings, links, formats and hides nothing.

`Mrkdwn` is what may go into a block. Only this module makes it: from text that is not to be trusted (`escape`, `code`),
from our own constants (`said`), and from ids. Lengths are UTF-16 units, the most that Slack could count.

Source: https://docs.slack.dev/messaging/formatting-message-text/
"""

import re
import time
from collections.abc import Iterable, Sequence
from typing import LiteralString, NewType

from bot.domain.errors import bounded
from bot.domain.listing import and_more
from bot.domain.redact import redact

Mrkdwn = NewType("Mrkdwn", str)
"""Text with Slack's markup in which everything foreign is escaped and redacted."""

NOTHING = Mrkdwn("")
MAX_LINE = 300
MAX_COMMAND = 600
"""A command longer than this is not shown at all: half a command is a different command."""

_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PLAIN = str.maketrans({"<": "‹", ">": "›", "&": "+"})  # noqa: RUF001 look-alikes on purpose
_FORMATS = re.compile(r"(?:^|[^A-Za-z0-9])[*_~](?=\S)|^>|:[A-Za-z0-9_+'-]+:")
"""A word that would begin bold, italic or struck text, or a quotation, or be drawn as an emoji (MAC addresses are)."""
_WORD = re.compile(r"^([(\[{\"']*)(.*?)([.,;!?)\]}\"']*)$", re.DOTALL)
_REFERENCE = re.compile(r"([\w.-]+/[\w.-]+)#(\d+)")


def units(text: str) -> int:
    """Length in UTF-16 units."""
    return len(text) + sum(character > "\uffff" for character in text)


def clean(text: str, limit: int = MAX_LINE) -> str:
    """One printable line of at most `limit` characters, secrets struck out: what every other form starts from."""
    read = text[: limit * 4 + 2_000]
    if len(read) < len(text):
        read = read.rsplit(maxsplit=1)[0] if read.split() else ""  # no half word: it may be half a secret
    return bounded(redact(read, "slack"), limit)


def plain(text: str, limit: int) -> str:
    """For plain_text objects, which know no escapes: angle brackets and ampersands become look-alikes."""
    return _cut(clean(text, limit).translate(_PLAIN), limit)


def _cut(text: str, limit: int) -> str:
    if units(text) <= limit:
        return text
    kept: list[str] = []
    used = 1
    for character in text:
        used += units(character)
        if used > limit:
            break
        kept.append(character)
    return "".join(kept).rstrip() + "…"


def _entities(text: str) -> str:
    return "".join(_ENTITIES.get(character, character) for character in text)


def said(text: LiteralString) -> Mrkdwn:
    """Our own words, with their markup."""
    return Mrkdwn(text)


def escape(text: str, limit: int = MAX_LINE) -> Mrkdwn:
    """Foreign text as it stands, at most `limit` units once escaped, cut between words."""
    words: list[str] = []
    used = 0
    for word in clean(text, limit).split(" "):
        shown = _word(word)
        if used + units(shown) + 1 > limit:
            words.append("…" if words else _cut_code(word, limit))
            break
        words.append(shown)
        used += units(shown) + 1
    return Mrkdwn(" ".join(words).replace(" … …", " …"))


def _word(word: str) -> str:
    if not _FORMATS.search(word):
        return _entities(word.replace("`", "'"))
    match = _WORD.match(word)
    assert match is not None
    before, core, after = (part.replace("`", "'") for part in match.groups())
    if not core:
        return _entities(word.replace("`", "'"))
    return f"{_entities(before)}`{_entities(core)}`{_entities(after)}"


def _cut_code(text: str, limit: int) -> str:
    """As inline code, cut so that it fits with its entities."""
    room = limit - 3
    kept: list[str] = []
    for character in text.replace("`", "'"):
        shown = _ENTITIES.get(character, character)
        room -= units(shown)
        if room < 0:
            return f"`{''.join(kept)}…`"
        kept.append(shown)
    return f"`{''.join(kept)}`"


def code(text: str, limit: int = MAX_LINE) -> Mrkdwn:
    """A name or value in fixed width, to be copied as it stands."""
    return Mrkdwn(_cut_code(clean(text, limit) or " ", limit))


def bold(text: str, limit: int = MAX_LINE) -> Mrkdwn:
    """Foreign text in bold. Asterisks in it would end the bold, so they go."""
    inner = escape(clean(text, limit).replace("*", " "), limit - 2)
    return Mrkdwn(f"*{inner}*") if inner else NOTHING


def joined(*parts: Mrkdwn, by: LiteralString = "") -> Mrkdwn:
    """Parts in a row, the empty ones left out."""
    return Mrkdwn(by.join(part for part in parts if part))


def listed(parts: Sequence[Mrkdwn], most: int, *, beyond: int = 0) -> Mrkdwn:
    """The first of them, and how many more there are; `beyond` counts those that are not in `parts`."""
    return Mrkdwn(and_more(parts, most, beyond=beyond))


def lines(parts: Iterable[Mrkdwn]) -> Mrkdwn:
    """Parts under each other."""
    return Mrkdwn("\n".join(part for part in parts if part))


def fence(commands: Sequence[str]) -> Mrkdwn:
    """Commands as a block of code; nothing when there is none. `fits` tells beforehand which can be shown."""
    if not commands:
        return NOTHING
    shown = "\n".join(_entities(exact(command).replace("```", "'''")) for command in commands)
    return Mrkdwn(f"```\n{shown}\n```")


def exact(command: str) -> str:
    """A command with its spaces; what cannot be printed becomes a visible stand-in, which breaks it for all to see."""
    text = redact(command[: MAX_COMMAND * 4], "slack")
    return "".join(character if character.isprintable() else "\ufffd" for character in text)


def fits(command: str) -> bool:
    """Whether a command can be shown whole."""
    return len(command) <= MAX_COMMAND and units(_entities(exact(command))) <= MAX_COMMAND


def link(url: str, label: str) -> Mrkdwn:
    """A link; the label alone where the address is none that we would make."""
    text = clean(label, 200).replace("|", "/").replace("`", "'")
    if not re.fullmatch(r"https?://[^\s<>|\x00-\x1f]{1,1000}", url) or redact(url, "slack") != url:
        return escape(label, 200)
    return Mrkdwn(f"<{url.replace('&', '&amp;')}|{_entities(text)}>")


def reference(text: str, label: str = "") -> Mrkdwn:
    """An upstream thread ("projectcalico/calico#8689", or its address) as a link."""
    if match := _REFERENCE.fullmatch(text):
        return link(f"https://github.com/{match[1]}/issues/{match[2]}", label or text)
    return link(text, label or text.removeprefix("https://").removeprefix("http://"))


def person(user_id: str) -> Mrkdwn:
    """A mention of a user or a user group; anything else as code, so that it pings nobody."""
    if re.fullmatch(r"[UW][A-Z0-9]{1,30}", user_id):
        return Mrkdwn(f"<@{user_id}>")
    if re.fullmatch(r"S[A-Z0-9]{1,30}", user_id):
        return Mrkdwn(f"<!subteam^{user_id}>")
    return code(user_id, 60)


def channel(channel_id: str) -> Mrkdwn:
    """A channel's name, as Slack shows it to those who may see it."""
    return Mrkdwn(f"<#{channel_id}>") if re.fullmatch(r"[CG][A-Z0-9]{1,30}", channel_id) else code(channel_id, 60)


def moment(at: float) -> Mrkdwn:
    """A point in time (Unix seconds) in the reader's own time zone."""
    seconds = int(min(max(at, 0.0), 253_402_300_799.0)) if at == at else 0  # noqa: PLR0124 not a number
    written = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(seconds))
    return Mrkdwn(f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{written}>")


def shortened(text: Mrkdwn, limit: int) -> Mrkdwn:
    """At most `limit` units, cut between lines, so that no markup is left open. Only a last resort."""
    if units(text) <= limit:
        return text
    kept: list[str] = []
    used = 6
    for line in text.split("\n"):
        used += units(line) + 1
        if used > limit:
            break
        kept.append(line)
    if sum(line.startswith("```") for line in kept) % 2:
        kept.append("```")
    return Mrkdwn("\n".join([*kept, "…"]))
