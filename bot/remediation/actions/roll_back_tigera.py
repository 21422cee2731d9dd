"""Bring a DaemonSet of the Tigera operator back to what it was: by the operator's own version, or by its Installation.

The operator writes its DaemonSet again within seconds, so that one is never the thing to change. What it writes comes
from two places: its own version names Calico's images and how they are run, and the Installation everything else. Which
of the two has changed is read from the histories of both workloads; where they leave it open, a person decides.

Source: https://github.com/tigera/operator pkg/render/node.go, api/v1/installation_types.go and tigerastatus_types.go
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, cast

from msgspec.structs import replace

from bot.cluster.writer import Object
from bot.domain.listing import and_more
from bot.domain.plan import NewTemplate, OperatorSettled, RolledOut, Step, Target, value_at
from bot.remediation.actions.draft import Draft, NotPlannedError
from bot.remediation.actions.restore import Wanted, allowed_fields, differing_fields, dotted, restore
from bot.remediation.actions.roll_back import (
    LAST_APPLIED,
    Revision,
    Workload,
    pace,
    revisions_of,
    template_evidence,
    workload_target,
)
from bot.remediation.owners import owner_of
from bot.remediation.templates import TEMPLATE, images, refuse_other_minor, template_digest

OPERATOR = "tigera-operator"
"""The operator's Deployment, and its namespace."""
_OPERATOR_S = 300.0
"""How long the operator may take to write its DaemonSet again."""

Way = Literal["operator", "installation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """The operator with its history."""

    workload: Workload


def way_by_hand(kind: str, name: str) -> str:
    """What people do where no plan does."""
    undo = f"kubectl rollout undo deployment/{OPERATOR} --namespace {OPERATOR} --to-revision=REVISION"
    return (
        f"Change the {kind} back (kubectl edit {kind.lower()}.operator.tigera.io {name}; with a recording of before: "
        f"cnibot plan propose restore {kind}/{name} --from RECORDING), or roll the operator back ({undo}; where Helm "
        "installed it: helm rollback)."
    )


def chosen_way(workload: Workload, chosen: Revision, installation: Object, operator: Operator | None) -> Way:
    """Which of the two has changed since the chosen revision. Errors: `NotPlannedError`: that is not plain."""
    main = workload_target(workload)
    current: Mapping[str, Any] = value_at(workload.obj, TEMPLATE) or {}
    refuse_other_minor(current, chosen.template, chosen.number, main)
    by_hand = way_by_hand("Installation", installation["metadata"]["name"])
    is_newer = operator is not None and _was_rolled_out_between(operator, workload, chosen)
    has_other_images = _tags(current) != _tags(chosen.template)
    if has_other_images and not is_newer:
        where = "no operator is found there" if operator is None else "the operator has not changed since"
        raise NotPlannedError(
            f"{main} had other images in revision {chosen.number}, and {where}: what changed them is not known.",
            by_hand,
        )
    if is_newer and [*_restorable(installation)]:
        raise NotPlannedError(
            f"Since revision {chosen.number} of {main} the operator has changed, and its Installation is other than it "
            "was last applied: which of both is at fault is not known.",
            by_hand,
        )
    return "operator" if is_newer else "installation"


def _tags(template: Mapping[str, Any]) -> dict[str, str]:
    """What of each image its registry does not say: the tag or digest."""
    return {name: image.rpartition("/")[2].partition(":")[2] for name, image in images(template).items()}


def _was_rolled_out_between(operator: Operator, workload: Workload, chosen: Revision) -> bool:
    """Whether the operator's present version came after that revision of its DaemonSet, and not after the newest.

    Errors: `NotPlannedError`: it has changed more than once since, or when is not known.
    """
    main, newest = workload_target(workload), next(iter(revisions_of(workload)))
    known, previous = revisions_of(operator.workload), former_version(operator)
    if previous is None:
        return False
    made = {one["metadata"]["name"]: _made_at(one) for one in (*workload.revisions, *operator.workload.revisions)}
    before, after = made.get(chosen.name), made.get(newest.name)
    at, former = made.get(known[0].name), made.get(previous.name)
    if before is None or after is None or at is None or former is None:
        raise NotPlannedError(f"When revisions of {main} and of its operator were made is not known.")
    if at < before or at > after:
        return False
    if former > before:
        raise NotPlannedError(
            f"Since revision {chosen.number} of {main} the operator has changed more than once.",
            f"Name a revision of the operator: cnibot plan propose roll-back --workload "
            f"deployment/{OPERATOR}/{OPERATOR} --revision REVISION",
        )
    return True


def former_version(operator: Operator) -> Revision | None:
    """The newest revision of the operator's Deployment with another image; None where none is kept."""
    present: Mapping[str, Any] = value_at(operator.workload.obj, TEMPLATE) or {}
    others = (one for one in revisions_of(operator.workload) if images(one.template) != images(present))
    return next(others, None)


def _made_at(obj: Object) -> datetime | None:
    try:
        return datetime.fromisoformat(str(value_at(obj, ("metadata", "creationTimestamp"))))
    except ValueError:
        return None


def _last_applied(installation: Object) -> Mapping[str, Any] | None:
    """The spec that people applied last, by kubectl; None where it is not kept."""
    text = value_at(installation, LAST_APPLIED)
    try:
        kept: Any = json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None
    spec: Any = cast("dict[str, Any]", kept).get("spec") if isinstance(kept, dict) else None
    return cast("Mapping[str, Any]", spec) if isinstance(spec, dict) else None


def _restorable(installation: Object) -> Iterator[tuple[str, ...]]:
    """Fields that were applied and are other now, of those that a plan puts back.

    What was not applied and is there now may be the operator's own default: it counts for nothing.
    """
    former = _last_applied(installation)
    if former is None:
        return
    present: Mapping[str, Any] = value_at(installation, ("spec",)) or {}
    allowed = allowed_fields(_wanted(installation, former))
    for field in differing_fields(present, former):
        if field in allowed and value_at(former, field) is not None:
            yield field


def _wanted(installation: Object, content: Mapping[str, Any]) -> Wanted:
    return Wanted(kind="Installation", name=installation["metadata"]["name"], content=content, at="its last apply")


def by_installation(workload: Workload, chosen: Revision, installation: Object, target: Target) -> Draft:
    """The draft that puts the Installation's fields back as they were applied. Errors: `NotPlannedError`."""
    main = workload_target(workload)
    fields = sorted(_restorable(installation))
    if not fields:
        why = "as it was last applied" if _last_applied(installation) else "without a record of what was applied"
        raise NotPlannedError(
            f"Since revision {chosen.number} of {main} its Installation was changed, and it is {why}: its earlier "
            "state is not known.",
            way_by_hand("Installation", target.name),
        )
    if owner := owner_of(installation):
        raise NotPlannedError(f"{main} belongs to {target}, and that to {owner.name}.", owner.how)
    former = _last_applied(installation) or {}
    content = _with(value_at(installation, ("spec",)) or {}, {field: value_at(former, field) for field in fields})
    draft = restore(installation, _wanted(installation, content))
    named = and_more([dotted(field) for field in fields], 3)
    draft = dataclasses.replace(draft, title=f"restore {named} of {target} as last applied")
    return with_what_it_makes(draft, workload, chosen, target)


def _with(spec: Mapping[str, Any], values: Mapping[tuple[str, ...], Any]) -> Mapping[str, Any]:
    """A spec with other values in some of its fields."""
    found = dict(spec)
    for (first, *rest), value in values.items():
        found[first] = _with(found.get(first) or {}, {tuple(rest): value}) if rest else value
    return found


def with_what_it_makes(draft: Draft, workload: Workload, chosen: Revision, installation: Target) -> Draft:
    """The draft, verified by what the operator then makes of its DaemonSet."""
    main = workload_target(workload)
    seconds = pace(workload, main)
    last: Step = draft.steps[-1]
    kept = [one for one in last.verify if not isinstance(one, OperatorSettled)]
    verify = (
        *kept,
        NewTemplate(target=main, former=template_digest(workload.obj)),
        RolledOut(target=main),
        OperatorSettled(installation=installation),
    )
    within_s = last.within_s + _OPERATOR_S + seconds
    steps = (*draft.steps[:-1], replace(last, verify=verify, within_s=within_s, undo="person"))
    earlier = tuple(replace(one, undo="person") for one in steps[:-1])
    return dataclasses.replace(
        draft,
        title=f"{draft.title}, and {main.name} with it",
        steps=(*earlier, steps[-1]),
        expected_s=draft.expected_s + seconds / 3,
        disruption=f"The Tigera operator replaces every pod of {main}, as its update strategy says.",
        affected=tuple(dict.fromkeys((*draft.affected, str(main)))),
        warnings=(*draft.warnings, _WARNING),
        evidence=(*template_evidence(workload, chosen), *draft.evidence),
    )


_WARNING = (
    "The operator decides what it makes of it: revisions of its DaemonSet are how it was recognized, not the target."
)
