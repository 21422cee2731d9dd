"""Results of scenarios, kept for docs/chaos.md where CHAOS_RESULTS names a directory."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass
class Result:
    """What came of a scenario."""

    seed: int
    faults: tuple[str, ...]
    asked: int = 0
    accepted: int = 0
    verdicts: int = 0
    failures: int = 0
    """Last words that say why there is no verdict."""
    slack_troubled: int = 0
    """Calls that Slack refused, whose answer was lost or came late."""
    cluster_troubled: int = 0
    """Requests to the API server, and to node agents through it, that met trouble."""
    broken: list[str] = field(default_factory=list[str])
    story: str = ""
    """What happened, and the end of the bot's log."""


def keep(result: Result) -> None:
    """One file a scenario, so that several processes may write; a second one with the story of one that failed."""
    directory = os.environ.get("CHAOS_RESULTS")
    if not directory:
        return
    kept = {name: value for name, value in asdict(result).items() if name != "story"}
    Path(directory, f"{result.seed}.json").write_text(json.dumps(kept), encoding="utf-8")
    if result.broken:
        Path(directory, f"{result.seed}.txt").write_text(result.story, encoding="utf-8")
