"""What the bot and its workshop say to each other: JSON, one message a line."""

from typing import Literal

import msgspec

from bot.domain.report import Report
from bot.incidents.request import Progress, Request


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """Diagnose. `number` is what all words about it are marked with."""

    number: int
    kubeconfig: str
    """Its path; "": as kubectl would choose."""
    context: str | None
    request: Request


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """Nobody waits for it any more: remove what it put into the cluster."""

    number: int


class Told(msgspec.Struct, frozen=True, kw_only=True, tag="told"):
    """How far it is."""

    number: int
    progress: Progress


class Reported(msgspec.Struct, frozen=True, kw_only=True, tag="reported"):
    """Its end."""

    number: int
    report: Report


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Its end without a verdict."""

    number: int
    kind: Literal["world", "namespace", "fault"]
    """What went wrong: something in the world; there is no such namespace; a mistake of ours."""
    sentence: str
    nearest: tuple[str, ...] = ()
    """Names of namespaces that resemble the one asked for."""


Order = Start | Cancel
Word = Told | Reported | Failed
