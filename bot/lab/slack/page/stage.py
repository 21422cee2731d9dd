"""What all windows of the page share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from bot.lab.control import LabClient
from bot.lab.slack.page.reading import Reading
from bot.lab.slack.page.typing import Hint
from bot.lab.slack.workspace import SlackWorkspace


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """The workspace, and what can be broken and offered around it."""

    workspace: SlackWorkspace
    cluster: LabClient | None = None
    kill_bot: Callable[[], None] | None = None
    """Ends the bot as the kernel would (-9); None where this program did not start it."""
    hints: tuple[Hint, ...] = ()
    shortcuts: tuple[tuple[str, str], ...] = ()
    """Callback id and name of each message shortcut."""
    reading: Reading = field(default_factory=Reading)
