"""What the bot has said to a request, by the keys that its messages carry."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bot.lab.slack import SlackWorkspace
from bot.lab.slack.message import Message
from tests.chaos.requests import Request

_LAST_WORD = re.compile(r"(inc-[0-9a-f]{8}):(\d+):(verdict|failed)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """All of it."""

    threads: frozenset[str]
    """The first messages of the threads in which it was said."""
    keys: tuple[str, ...]

    @property
    def runs(self) -> tuple[tuple[str, str], ...]:
        """Incident and run of each last word."""
        return tuple((found[1], found[2]) for key in self.keys if (found := _LAST_WORD.fullmatch(key)))

    @property
    def verdicts(self) -> int:
        """How many of the last words are verdicts."""
        return sum(key.endswith(":verdict") for key in self.keys)

    @property
    def is_complete(self) -> bool:
        """Whether nobody has to wait any longer. That one person was told to try again is no answer."""
        return bool(self.runs)


def answers(slack: SlackWorkspace, request: Request) -> Answers:
    """Those in the request's channel."""
    own = [each for each in slack.everything(request.channel) if each.user == slack.bot_user_id]
    return Answers(
        threads=frozenset(each.thread_ts or each.ts for each in own),
        keys=tuple(key for each in own if (key := key_of(each))),
    )


def key_of(message: Message) -> str:
    """The outbox's; "" for what has none."""
    return str(message.event_metadata.get("key", ""))
