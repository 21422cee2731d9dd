"""Which known issues a cluster's versions lie in. A version alone proves nothing: a verdict needs the evidence."""

from collections.abc import Iterable, Mapping, Sequence

from bot.domain.software import Software
from bot.known_issues.schema import Component, KnownIssue


def by_version(issues: Iterable[KnownIssue], software: Software) -> Mapping[str, bool]:
    """By id the issues of some versions of the CNI that this one may be: True where every range is known to hold.

    False: a version that it needs was not read. One that a version rules out is left out.
    """
    found: dict[str, bool] = {}
    for issue in issues:
        if "cni" not in issue.versions or (issue.cnis and software.cni not in issue.cnis):
            continue
        holds = [_holds(issue, component, software) for component in issue.versions]
        if False not in holds:
            found[issue.id] = None not in holds
    return found


def _holds(issue: KnownIssue, component: Component, software: Software) -> bool | None:
    """Whether any of the component's versions is in the issue's range; None where none was read."""
    inside = [issue.versions[component].contains(version) for version in _versions(component, software)]
    if True in inside:
        return True
    return None if None in inside or not inside else False


def _versions(component: Component, software: Software) -> Sequence[str]:
    known: Mapping[Component, Sequence[str]] = {
        "cni": (software.cni_version,) if software.cni_version else (),
        "kubernetes": (software.kubernetes,) if software.kubernetes else (),
        "kernel": software.kernels,
    }
    return known[component]
