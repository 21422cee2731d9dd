"""A change as its finders tell it, and when a cluster counts as settled."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from bot.probes.engine.evidence import Evidence

SETTLING = timedelta(minutes=15)
"""What comes into being so soon after the cluster, a node or a DaemonSet belongs to its beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Something that became different at a time; None where only the difference is known."""

    at: datetime | None
    what: str
    """What happened to the subject, as the rest of a sentence: "became ready again"."""
    subject: str
    """Kind and name: "DaemonSet kube-system/calico-node"."""


def settled_at(evidence: Evidence) -> datetime | None:
    """When the cluster had come up: what is older came with it and is no change. None when no time is known."""
    snapshot = evidence.snapshot
    born = earliest(each.metadata.creation_timestamp for each in (*snapshot.namespaces, *snapshot.nodes))
    return born + SETTLING if born else None


def earliest(times: Iterable[datetime | None]) -> datetime | None:
    """The earliest of the known times."""
    return min((at for at in times if at is not None), default=None)


def latest(times: Iterable[datetime | None]) -> datetime | None:
    """The latest of the known times."""
    return max((at for at in times if at is not None), default=None)
