"""Equal commands that differ in one word, as the shell loop that runs exactly them."""

import re
from collections.abc import Sequence

MOST_LISTED = 12
"""So many commands are shown before the rest is only counted."""
SHOWN_OF_MANY = 3
_FEWEST = 3
"""Two commands are read faster than a loop over "status restart"."""
_SAFE = re.compile(r"[A-Za-z0-9_@%+:,/-][A-Za-z0-9_@%+:,./-]*")
"""What a shell takes as it stands, in a list and in the middle of a word."""
_BETWEEN = re.compile(r"([A-Za-z0-9_-]+)")


def looped(commands: Sequence[str]) -> str:
    """The commands as one loop; "" for one or two, and where they do not differ in exactly one word, in one place.

    A word is a run of letters, digits, dashes and underscores: "calia1b2" in "net.ipv4.conf.calia1b2.proxy_arp=1".
    """
    rows = [_BETWEEN.split(command) for command in commands]
    if len(rows) < _FEWEST or len({len(row) for row in rows}) != 1:
        return ""
    places = [at for at, words in enumerate(zip(*rows, strict=True)) if len(set(words)) > 1]
    if len(places) != 1:
        return ""
    (at,) = places
    values = list(dict.fromkeys(row[at] for row in rows))
    before, after = "".join(rows[0][:at]), "".join(rows[0][at + 1 :])
    if at % 2 == 0 or _is_quoted(before) or "$" in before + after or not all(map(_SAFE.fullmatch, values)):
        return ""
    name = "i" if not re.match(r"[A-Za-z0-9_]", after) else "{i}"
    return f"for i in {' '.join(values)}; do\n  {before}${name}{after}\ndone"


def _is_quoted(before: str) -> bool:
    """Whether a variable there would not be expanded."""
    return before.count("'") % 2 == 1 or before.endswith("\\")


def pasteable(commands: Sequence[str]) -> tuple[list[str], int]:
    """The lines to paste, and how many commands are left out of them."""
    if loop := looped(commands):
        return loop.split("\n"), 0
    if len(commands) <= MOST_LISTED:
        return list(commands), 0
    return list(commands[:SHOWN_OF_MANY]), len(commands) - SHOWN_OF_MANY
