"""What all windows of the page share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from bot.lab.slack.page.reading import Reading
from bot.lab.slack.page.typing import Hint
from bot.lab.slack.workspace import SlackWorkspace
from bot.lab.types import Json


class LabControl(Protocol):
    """What the page does with the cluster beside it. Errors: `LabError`."""

    async def status(self) -> Json:
        """Nodes, CNI, and what is broken."""
        ...

    async def faults(self) -> list[Json]:
        """What can be broken."""
        ...

    async def break_(self, fault: str, *, node: str = "", pod: str = "") -> Json:
        """Break something; what was done."""
        ...

    async def heal(self) -> list[str]:
        """Undo it all; the faults that were healed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """A fault that is one press away: where a newcomer begins."""

    title: str
    fault: str
    node: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PageContext:
    """The workspace, and what can be broken and offered around it."""

    workspace: SlackWorkspace
    cluster: LabControl | None = None
    kill_bot: Callable[[], None] | None = None
    """Ends the bot as the kernel would (-9); None where this program did not start it."""
    hints: tuple[Hint, ...] = ()
    shortcuts: tuple[tuple[str, str], ...] = ()
    """Callback id and name of each message shortcut."""
    story: Story | None = None
    reading: Reading = field(default_factory=Reading)
