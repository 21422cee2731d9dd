"""Roll a DaemonSet or Deployment back to one named revision, by its template, as `kubectl rollout undo` does.

Traps that `kubectl rollout undo` leaves open, and which end here in a refusal or a warning: "the previous one" is the
bad one after an undo (a revision is always named); a restart alone makes a revision (such are no other template); what
somebody else reconciles comes back; OnDelete replaces no pod; dead nodes eat maxUnavailable, and nothing moves; an
agent of another minor version meets newer CRDs.

Source: https://github.com/kubernetes/kubectl pkg/polymorphichelpers/rollback.go
Source: https://github.com/kubernetes/kubernetes pkg/controller/daemon/update.go (a pod that terminates for ever counts)
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, target_of
from bot.domain.foreign import whole_number
from bot.domain.listing import and_more, left_out
from bot.domain.plan import Replace, RolledOut, Step, Target, value_at
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on
from bot.remediation.conditions import owned
from bot.remediation.differences import differences, shown
from bot.remediation.owners import owner_of
from bot.remediation.status import is_true
from bot.remediation.templates import TEMPLATE, refuse_other_minor, substance

LAST_APPLIED = ("metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration")
_NODE_S = 90.0
"""How long one pod may take to be replaced and become available."""

Kind = Literal["DaemonSet", "Deployment"]
PLURALS: Mapping[str, str] = {"DaemonSet": "daemonsets", "Deployment": "deployments"}
MOST_SHOWN = 12
_MOST_CHARACTERS = 160


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision:
    """One version of a template."""

    number: int
    name: str
    """Of the ControllerRevision or ReplicaSet."""
    template: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What is to be rolled back, with its history."""

    kind: Kind
    obj: Object
    revisions: Sequence[Object]
    """ControllerRevisions or ReplicaSets of its namespace."""
    pods: Sequence[Object]
    nodes: Mapping[str, Object]


def revisions_of(workload: Workload) -> list[Revision]:
    """The versions of its template that are kept, newest first."""
    own = owned(workload.revisions, workload.obj["metadata"]["uid"])
    found = [_of_daemon_set(one) if workload.kind == "DaemonSet" else _of_deployment(one) for one in own]
    return sorted(found, key=lambda one: -one.number)


def _of_daemon_set(revision: Object) -> Revision:
    template: Mapping[str, Any] = value_at(revision, ("data", "spec", "template")) or {}
    return Revision(
        number=whole_number(revision.get("revision")) or 0,
        name=revision["metadata"]["name"],
        template={key: value for key, value in template.items() if key != "$patch"},
    )


def _of_deployment(replica_set: Object) -> Revision:
    template: Mapping[str, Any] = value_at(replica_set, TEMPLATE) or {}
    metadata: dict[str, Any] = dict(template.get("metadata") or {})
    labels: dict[str, str] = dict(metadata.get("labels") or {})
    labels.pop("pod-template-hash", None)
    number = whole_number(value_at(replica_set, ("metadata", "annotations", "deployment.kubernetes.io/revision")))
    return Revision(
        number=number or 0,
        name=replica_set["metadata"]["name"],
        template={**template, "metadata": {**metadata, "labels": labels}},
    )


def roll_back(workload: Workload, wanted: str = "") -> Draft:
    """The draft; `wanted` is a revision's number or name, "" the newest that differs in more than a restart.

    Errors: `NotPlannedError`.
    """
    obj, main = workload.obj, workload_target(workload)
    refuse_owned(obj, main)
    current: Mapping[str, Any] = value_at(obj, TEMPLATE) or {}
    chosen = chosen_revision(workload, wanted)
    refuse_other_minor(current, chosen.template, chosen.number, main)
    seconds = pace(workload, main)
    step = Step(
        title=f"put the template of revision {chosen.number} ({chosen.name}) back",
        do=Replace(target=main, field=TEMPLATE, before=current, after=chosen.template),
        verify=(RolledOut(target=main),),
        within_s=seconds,
        undo="person",
    )
    return Draft(
        action="roll-back",
        title=f"roll {main.name} back to revision {chosen.number}",
        risk="r3",
        main=main,
        former_mark=mark_on(obj),
        steps=(step,),
        expected_s=seconds / 3,
        disruption=f"Every pod of {main} that has the present template is replaced, as its update strategy says.",
        affected=(str(main),),
        warnings=tuple(_warnings(workload)),
        evidence=template_evidence(workload, chosen),
    )


def chosen_revision(workload: Workload, wanted: str) -> Revision:
    """The revision of that number or name; "" for the newest other one. Errors: `NotPlannedError`."""
    current: Mapping[str, Any] = value_at(workload.obj, TEMPLATE) or {}
    return _chosen(revisions_of(workload), current, workload_target(workload), wanted)


def template_evidence(workload: Workload, chosen: Revision) -> tuple[str, ...]:
    """What differs between the present template and the chosen one."""
    changes = list(differences(value_at(workload.obj, TEMPLATE) or {}, chosen.template))
    lines = [f"{where}: {_cut(shown(old))} → {_cut(shown(new))}" for where, old, new in changes[:MOST_SHOWN]]
    return (*lines, *filter(None, [left_out(len(changes) - MOST_SHOWN, "fields")]))


def _cut(text: str) -> str:
    """The beginning of a long value, which says that it is one."""
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]} [CUT: {len(text)} characters]"


def workload_target(workload: Workload) -> Target:
    """As a plan names it."""
    metadata = workload.obj["metadata"]
    path = api_path(PLURALS[workload.kind], group="apps", namespace=metadata["namespace"], name=metadata["name"])
    return target_of(workload.obj, workload.kind, path)


def refuse_owned(obj: Object, main: Target) -> None:
    """Errors: `NotPlannedError`: somebody has the last word on it."""
    owner = owner_of(obj)
    if owner:
        raise NotPlannedError(
            f"{main} belongs to {owner.name}, which would undo a rollback behind its back.", owner.how
        )


def _chosen(known: Sequence[Revision], current: Mapping[str, Any], main: Target, wanted: str) -> Revision:
    others = [one for one in known if substance(one.template) != substance(current)]
    if not wanted:
        if not others:
            raise NotPlannedError(f"No revision of {main} is kept that differs from the present one.")
        return others[0]
    named = [one for one in known if wanted in {str(one.number), one.name}]
    if not named:
        kept = ", ".join(f"{one.number} ({one.name})" for one in known) or "none"
        raise NotPlannedError(f"{main} has no revision {wanted!r}. Kept are: {kept}.")
    if named[0] not in others:
        raise NotPlannedError(f"Revision {wanted} of {main} is what runs now, but for a restart.")
    return named[0]


def pace(workload: Workload, main: Target) -> float:
    """How long the rollout may take. Errors: `NotPlannedError` when it would not move at all."""
    strategy: Mapping[str, Any] = value_at(workload.obj, ("spec", "updateStrategy")) or {}
    if workload.kind == "Deployment":
        if value_at(workload.obj, ("spec", "paused")):
            raise NotPlannedError(f"{main} is paused: its controller would not follow.", "Resume it first.")
        return _NODE_S * max(2, math.ceil((value_at(workload.obj, ("spec", "replicas")) or 1) / 4))
    if strategy.get("type") == "OnDelete":
        raise NotPlannedError(
            f"{main} has the update strategy OnDelete: the template would change, and no pod would be replaced.",
            "Set RollingUpdate, or change it and delete its pods one by one.",
        )
    desired = value_at(workload.obj, ("status", "desiredNumberScheduled")) or len(workload.nodes)
    at_once = _portion(value_at(strategy, ("rollingUpdate", "maxUnavailable")), desired)
    dead = sorted(
        {
            node
            for pod in owned(workload.pods, main.uid)
            if (node := value_at(pod, ("spec", "nodeName")))
            and not (node in workload.nodes and is_true(workload.nodes[node], "Ready"))
        }
    )
    if len(dead) >= at_once:
        raise NotPlannedError(
            f"The rollout would stall: not Ready: {and_more(dead, 5)}, and at most {at_once} of its pods "
            "may be unavailable at once.",
            "Bring the nodes back or delete them, or set updateStrategy.rollingUpdate.maxUnavailable of "
            f"{main} to {len(dead) + 1}.",
        )
    return _NODE_S * max(2, math.ceil(desired / max(1, at_once - len(dead))))


def _portion(value: Any, of: int) -> int:
    """An absolute number or a percentage, rounded up as the controller does; at least one."""
    if isinstance(value, str) and value.endswith("%") and (percent := whole_number(value[:-1], 6)) is not None:
        return max(1, math.ceil(of * percent / 100))
    return max(1, value) if isinstance(value, int) else 1


def _warnings(workload: Workload) -> list[str]:
    found = ["ConfigMaps, custom resources and CRDs are no part of a revision: they stay as they are."]
    if value_at(workload.obj, LAST_APPLIED):
        found.append("The next `kubectl apply` of the same manifest brings the present template back: change it too.")
    return [*found, *at_once_warning(workload)]


def at_once_warning(workload: Workload) -> list[str]:
    """The warning where more than one node loses its pod at a time."""
    strategy = value_at(workload.obj, ("spec", "updateStrategy", "rollingUpdate", "maxUnavailable"))
    if workload.kind == "DaemonSet" and strategy not in {None, 1}:
        return [f"maxUnavailable is {strategy}: that many nodes lose their agent at the same time."]
    return []
