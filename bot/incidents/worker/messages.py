"""What the bot and its worker say to each other: JSON, one message a line."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from bot.agent.report import NodeReport
from bot.diagnosis.request import Progress, Request
from bot.domain.report import Report


class Prepare(msgspec.Struct, frozen=True, kw_only=True, tag="prepare"):
    """Read what every diagnosis needs."""


class Start(msgspec.Struct, frozen=True, kw_only=True, tag="start"):
    """Diagnose. `number` is what all words about it are marked with."""

    number: int
    kubeconfig: str
    """Its path; "": as kubectl would choose."""
    context: str | None
    request: Request
    with_node_reports: bool = False
    """Hand over what the nodes' agents reported, too."""


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag="cancel"):
    """Nobody waits for it any more: remove what it put into the cluster."""

    number: int


class Called(msgspec.Struct, frozen=True, kw_only=True, tag="called"):
    """How many requests it sent to API servers since it last said so: method, outcome, number."""

    requests: tuple[tuple[str, str, int], ...]


class Progressed(msgspec.Struct, frozen=True, kw_only=True, tag="progressed"):
    """How far it is."""

    number: int
    progress: Progress


class Reported(msgspec.Struct, frozen=True, kw_only=True, tag="reported"):
    """Its end."""

    number: int
    report: Report
    node_reports: Mapping[str, NodeReport] = {}
    """By node, where they were asked for."""


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed"):
    """Its end without a verdict."""

    number: int
    kind: Literal["environment", "namespace", "pod", "hidden", "internal"]
    """What went wrong: the cluster or the way to it; no such namespace or pod; pods may not be listed; our bug."""
    sentence: str
    nearest: tuple[str, ...] = ()
    """Names that resemble the one asked for."""
    permission: str = ""
    """What would be needed."""


Command = Prepare | Start | Cancel
Event = Called | Progressed | Reported | Failed
