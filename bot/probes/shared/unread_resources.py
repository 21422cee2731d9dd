"""What of the API could not be read: a list that was forbidden is unknown, never empty."""

from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.report import Unobserved


def why_unread(snapshot: Snapshot, resource: str, *, group: str = "", namespace: str = "") -> str:
    """Why a resource was not read ("pods", "networkpolicies" of group "networking.k8s.io"); "" when it was.

    With `namespace`: in that namespace. Where listing everywhere is forbidden, the snapshot lists that namespace
    alone; so only what it says about the namespace itself counts then, or a reason that is no lack of permission.

    What does not say which reads it speaks of (recordings of older versions) may have been any of them.
    """
    return next(
        (each.why for each in snapshot.unobserved if _is_without(snapshot, each, resource, group, namespace)), ""
    )


def _is_without(snapshot: Snapshot, missed: Unobserved, resource: str, group: str, namespace: str) -> bool:
    if not missed.reads:
        return True
    spaces = {read.namespace for read in missed.reads if (read.plural, read.group) == (resource, group)}
    if spaces - {""} if not namespace else namespace in spaces:
        return True
    is_narrowed = bool(missed.remedy) and namespace == snapshot.namespace
    return "" in spaces and not is_narrowed
