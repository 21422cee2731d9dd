"""What of the API could not be read: a list that was forbidden is unknown, never empty."""

import re

from bot.cluster.snapshot import Snapshot

_WHAT = re.compile(r"(?P<plural>[^ .]+)(?:\.(?P<group>[^ ]+))?(?: in namespace (?P<namespace>[^ ]+))?(?P<rest>.*)")


def why_unread(snapshot: Snapshot, resource: str, *, group: str = "", namespace: str = "") -> str:
    """Why a resource was not read ("pods", "networkpolicies" of group "networking.k8s.io"); "" when it was.

    With `namespace`: in that namespace. Where listing everywhere is forbidden, the snapshot lists that namespace
    alone; so only what it says about the namespace itself counts then, or a reason that is no lack of permission.
    """
    for each in snapshot.unobserved:
        if each.what == "snapshot":
            return each.why
        found = _WHAT.fullmatch(each.what)
        if found and _is_meant(found, resource, group):
            there = found["namespace"]
            if there is not None and there != namespace and namespace:
                continue
            is_narrowed = there is None and bool(each.remedy) and namespace == snapshot.namespace
            if not is_narrowed:
                return each.why
    return ""


def _is_meant(found: re.Match[str], resource: str, group: str) -> bool:
    return found["plural"] == resource and (found["group"] or group) == group
