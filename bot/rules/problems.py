"""What is wrong with a rule file: file, line, field, sentence."""

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bot.domain.errors import BotError
from bot.domain.listing import and_more


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One mistake of an author."""

    file: str
    line: int
    """From 1; 0 when it concerns the whole file."""
    field: str
    """Dotted: "requires.0.that"; "" for the document itself."""
    sentence: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.field}: {self.sentence}" if self.field else f"{place}: {self.sentence}"


class RulesError(BotError):
    """Rule files cannot be used: every problem that was found, in order of file and line."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = tuple(sorted(problems))
        super().__init__("\n".join(str(problem) for problem in self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The tail of a sentence, "; did you mean X?", or nothing when no known word is near."""
    nearest = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {nearest[0]}?" if nearest else ""


def one_of(words: Sequence[str], limit: int = 12) -> str:
    """The words as a list for a sentence, cut at `limit`."""
    return and_more(words, limit)
