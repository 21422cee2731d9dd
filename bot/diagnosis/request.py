"""What a diagnosis is asked, and how it tells about its progress."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from bot.domain.facts import Rung

USUAL_PLAYBOOK = "namespace"
"""By which is diagnosed where nobody names another one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One diagnosis: where to look, how far to go, how long it may take."""

    namespace: str
    pod: str | None = None
    nodes: tuple[str, ...] = ()
    """Nodes to look at beside those of the pods asked about; they come first."""
    all_nodes: bool = False
    """Look at every node, as many as `max_nodes` allows."""
    access: Rung | None = None
    """The rung wanted; None takes the highest that is allowed."""
    playbook: str = USUAL_PLAYBOOK
    timeout_s: float = 30.0
    """Everything, from the first request to the verdict. Clean-up may take a few seconds more."""
    bot_namespace: str = "cnibot"
    agent_image: str = ""
    """"" takes the release's own image."""
    max_nodes: int = 100
    with_trace: bool = True
    """Follow probe packets of a few flows that fail; about two seconds more, and only where something fails."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """One thing that began, ended or failed while a diagnosis runs."""

    stage: Literal["queue", "api", "access", "node", "judge"]
    """"queue": others are diagnosed first; only where one process serves many people."""
    state: Literal["started", "done", "failed"]
    subject: str = ""
    """The node, for the stage "node"."""
    sentence: str = ""


OnProgress = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Progress that nobody watches."""
