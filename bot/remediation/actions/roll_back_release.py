"""Roll a Helm release back to one named revision, for the sake of a workload that is part of it.

Traps that `helm rollback` leaves open: without a number it takes the one before, which after a rollback is the bad one;
it takes a revision whose upgrade had failed; it deletes what the revision did not have, CRDs among it; what somebody
changed behind Helm's back stays, or stops a server-side apply in the middle; it succeeds where no pod is replaced.

Source: https://github.com/helm/helm pkg/action/rollback.go (what is kept of the newer revision, which hooks run)
"""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bot.cluster.helm.releases import GOOD, KEEP, Named, StoredRevision, objects_of
from bot.cluster.writer import Object, revision_of
from bot.domain.errors import bounded
from bot.domain.listing import and_more, left_out
from bot.domain.plan import HelmRollback, NewTemplate, RolledOut, Step, Target, value_at
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on
from bot.remediation.actions.roll_back import Workload, at_once_warning, pace, workload_target
from bot.remediation.differences import deviations, differences, field_shown
from bot.remediation.owners import Owner
from bot.remediation.templates import TEMPLATE, refuse_other_minor, substance, template_digest

MOST_SHOWN = 30
_MOST_DEVIATIONS = 5
HELM_S = 300.0
_HOOK_EVENTS = frozenset({"pre-rollback", "post-rollback"})
_STRATEGY = ("spec", "updateStrategy")
_KINDS_KEPT = frozenset({"CustomResourceDefinition", "Namespace", "PersistentVolumeClaim"})
"""What a plan does not let Helm delete: everything in it would go as well."""
_CHART_LABEL = "metadata.labels.helm.sh/chart"
_BACK_TO = "Rollback to "

Method = Literal["PATCH", "POST", "DELETE"]
Objects = Mapping[Named, Object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release, and where it is to go."""

    owner: Owner
    present: StoredRevision
    """The newest revision."""
    chosen: StoredRevision
    before: Objects
    """What the newest one rendered."""
    after: Objects
    """What the chosen one rendered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What Helm does with one object of the release."""

    method: Method
    named: Named
    fields: Sequence[tuple[str, Any, Any]] = ()
    """Those that differ: where, before, after."""
    replaces_pods: bool = False


def chosen_revision(history: Sequence[StoredRevision], main: Target, owner: Owner, wanted: str) -> StoredRevision:
    """The revision of that number; "" for the newest good one with another template. Errors: `NotPlannedError`."""
    present = history[0]
    if present.is_pending:
        raise NotPlannedError(
            f"Helm is at work on {owner.name}, or was ended in the middle: its {_numbered(present)} is "
            f"{present.status}.",
            owner.how,
        )
    if present.status not in {"deployed", "failed"}:
        raise NotPlannedError(f"{owner.name} is {present.status} ({_numbered(present)}).", owner.how)
    now = template_in(present, main)
    if now is None:
        raise NotPlannedError(
            f"{main} bears the mark of {owner.name}, whose {_numbered(present)} does not hold it.",
            "Look who made it, and whether another release has taken it over.",
        )
    earlier = [one for one in history[1:] if one.status in GOOD]
    if wanted:
        return _named(history, main, now, wanted)
    if present.description.startswith(_BACK_TO):
        listed = and_more([f"{one.number} ({one.chart} {one.version})" for one in earlier], 5)
        raise NotPlannedError(
            f"The present {_numbered(present)} of {owner.name} is a rollback itself ({bounded(present.description)}).",
            f"Name the revision that was good. Kept are: {listed or 'none'}.",
        )
    for one in earlier:
        template = template_in(one, main)
        if template is not None and substance(template) != substance(now):
            return one
    raise NotPlannedError(
        f"{owner.name} keeps no earlier revision that was deployed and has another template for {main}.", owner.how
    )


def _named(history: Sequence[StoredRevision], main: Target, now: Mapping[str, Any], wanted: str) -> StoredRevision:
    found = next((one for one in history if wanted == str(one.number)), None)
    if found is None:
        kept = and_more([str(one.number) for one in history], 10)
        raise NotPlannedError(f"There is no revision {bounded(wanted, 40)!r} of {_release(history[0])}. Kept: {kept}.")
    if found is history[0]:
        raise NotPlannedError(f"Revision {wanted} of {_release(found)} is the present one.")
    if found.status not in GOOD:
        raise NotPlannedError(f"Revision {wanted} of {_release(found)} was never deployed: it is {found.status}.")
    template = template_in(found, main)
    if template is None:
        raise NotPlannedError(f"Revision {wanted} of {_release(found)} has no {main}: Helm would delete it.")
    if substance(template) == substance(now):
        raise NotPlannedError(
            f"Revision {wanted} of {_release(found)} has the same template for {main}: no pod would be replaced.",
            "Roll the release back by hand, and propose restart-agents.",
        )
    return found


def _release(revision: StoredRevision) -> str:
    return f"Helm release {revision.namespace}/{revision.release}"


def _numbered(revision: StoredRevision) -> str:
    return f"revision {revision.number}"


def template_in(revision: StoredRevision, main: Target) -> Mapping[str, Any] | None:
    """The template of a workload as a revision renders it; None where it has no such workload."""
    obj = _workload_in(objects_of(revision), main)
    return None if obj is None else _template(obj)


def _template(obj: Object) -> Mapping[str, Any]:
    return value_at(obj, TEMPLATE) or {}


def _workload_in(objects: Objects, main: Target) -> Object | None:
    key = ("apps", main.kind, main.namespace, main.name)
    return next((obj for named, obj in objects.items() if named.key == key), None)


def changes(release: Release) -> tuple[Change, ...]:
    """What Helm does, object by object: it writes those that do not differ as well."""
    return tuple(_changes(release))


def _changes(release: Release) -> Iterator[Change]:
    before = {named.key: (named, obj) for named, obj in release.before.items()}
    after = {named.key: obj for named, obj in release.after.items()}
    for named, obj in release.after.items():
        if named.key not in before:
            yield Change(method="POST", named=named)
            continue
        old = before[named.key][1]
        fields = tuple(one for one in differences(old, obj) if not one[0].startswith(_CHART_LABEL))
        old_template, new_template = value_at(old, TEMPLATE), value_at(obj, TEMPLATE)
        yield Change(method="PATCH", named=named, fields=fields, replaces_pods=old_template != new_template)
    for named, obj in release.before.items():
        if named.key not in after and value_at(obj, KEEP) != "keep":
            yield Change(method="DELETE", named=named)


def refuse_unfit(workload: Workload, release: Release, found: Sequence[Change]) -> tuple[Object, list[str]]:
    """The workload as the chosen revision renders it, and warnings of what somebody changed behind Helm's back.

    Errors: `NotPlannedError`: going back there would break something, or could not be finished.
    """
    main, owner, number = workload_target(workload), release.owner, release.chosen.number
    old, new = _workload_in(release.before, main), _workload_in(release.after, main)
    assert old is not None
    assert new is not None
    for one in (old, workload.obj):
        refuse_other_minor(_template(one), _template(new), number, main)
    if lost := [str(one.named) for one in found if one.method == "DELETE" and one.named.kind in _KINDS_KEPT]:
        raise NotPlannedError(
            f"Revision {number} of {owner.name} does not have {and_more(lost, 3)}: Helm would delete it, with all "
            "that is in it.",
            'Annotate it with "helm.sh/resource-policy: keep" in the chart first, or roll back by hand.',
        )
    drifted = _drift(release, old, new, workload.obj)
    stays = [
        one for one in _deviating(old, workload.obj) if one[1] is None
    ]  # added behind Helm's back, so Helm leaves it
    if not [one for one in _deviating(new, workload.obj) if one not in stays]:
        raise NotPlannedError(
            f"{main} has the template of revision {number} of {owner.name} already: no pod would be replaced.",
            f"Helm's record is behind. {owner.how}",
        )
    return new, drifted


def roll_back_release(
    workload: Workload,
    release: Release,
    found: Sequence[Change],
    requests: tuple[tuple[str, str], ...],
    others: Sequence[Target],
) -> Draft:
    """The draft. `others`: further workloads whose pods are replaced. Errors: `NotPlannedError`."""
    main, owner, chosen = workload_target(workload), release.owner, release.chosen
    new, drifted = refuse_unfit(workload, release, found)
    hooks = [one for one in chosen.hooks if _HOOK_EVENTS & set(one.events)]
    seconds = max(HELM_S, pace(as_it_will_be(workload, new), main))
    step = Step(
        title=f"let Helm roll release {owner.namespace}/{owner.release} back to revision {chosen.number}",
        do=HelmRollback(
            target=main,
            release=owner.release,
            namespace=owner.namespace,
            present=revision_of(release.present),
            chosen=revision_of(chosen),
            requests=requests,
            hooks=len(hooks),
            timeout_s=HELM_S,
        ),
        verify=(
            NewTemplate(target=main, former=template_digest(workload.obj)),
            RolledOut(target=main),
            *(RolledOut(target=one) for one in others),
        ),
        within_s=seconds,
        undo="person",
    )
    return Draft(
        action="roll-back-release",
        title=f"roll Helm release {owner.namespace}/{owner.release} back to revision {chosen.number}",
        risk="r3",
        main=main,
        former_mark=mark_on(workload.obj),
        steps=(step,),
        expected_s=seconds / 3,
        disruption=f"Every pod of {main} is replaced, as its update strategy says, and the whole release goes back.",
        affected=(str(main), *(str(one) for one in others)),
        warnings=(
            (
                f"Whatever made revision {release.present.number} (CI, Terraform, a person) brings it back at its next "
                "upgrade: change it there too."
            ),
            *release_warnings(workload, release, found),
            *drifted,
            *_of_hooks(chosen, [one.name for one in hooks]),
        ),
        evidence=tuple(release_evidence(release, found, main)),
    )


def as_it_will_be(workload: Workload, new: Object) -> Workload:
    """The workload with the update strategy that it gets."""
    strategy = value_at(new, _STRATEGY)
    if strategy is None:
        return workload
    spec = {**workload.obj["spec"], "updateStrategy": strategy}
    return dataclasses.replace(workload, obj={**workload.obj, "spec": spec})


def _drift(release: Release, old: Object, new: Object, live: Object) -> list[str]:
    """What somebody changed behind Helm's back, as warnings. Errors: `NotPlannedError`: Helm would stop at it."""
    found, against = _deviating(old, live), {where for where, _, _ in _deviating(new, live)}
    owner = release.owner
    if not found:
        return []
    conflicts = [where for where, meant, _ in found if meant is not None and where in against]
    if conflicts and release.chosen.is_server_side:
        raise NotPlannedError(
            f"Somebody has changed {and_more(conflicts, _MOST_DEVIATIONS)} behind the back of {owner.name}: its "
            "server-side apply would end in a conflict, with the release half done.",
            f"Look whether that is the fault. Then: helm rollback {owner.release} {release.chosen.number} "
            f"--namespace {owner.namespace} --force-conflicts",
        )
    listed, named = and_more([where for where, _, _ in found], _MOST_DEVIATIONS), f"revision {release.present.number}"
    return [f"The live object is other than {named} made it, behind Helm's back: {listed}."]


def _deviating(meant: Object, live: Object) -> list[tuple[str, Any, Any]]:
    parts = (TEMPLATE, _STRATEGY)
    return [one for part in parts for one in deviations(value_at(meant, part), value_at(live, part), ".".join(part))]


def release_warnings(workload: Workload, release: Release, found: Sequence[Change]) -> Iterator[str]:
    """What does not go back with the release, and what goes with it."""
    present = release.present
    yield "CRDs of the chart's own directory, and custom resources, are not rolled back: they stay as they are."
    if present.status == "failed":
        yield f"The upgrade to revision {present.number} failed: how much of it was applied is not known."
    if deleted := [str(one.named) for one in found if one.method == "DELETE"]:
        yield f"Helm deletes {and_more(deleted, 5)}: revision {release.chosen.number} does not have that."
    yield from at_once_warning(workload)


def _of_hooks(chosen: StoredRevision, names: Sequence[str]) -> Iterator[str]:
    if names:
        yield f"Hooks of revision {chosen.number} run: {bounded(and_more(names, 5))}."


def release_evidence(release: Release, found: Sequence[Change], main: Target) -> Iterator[str]:
    """What differs, the workload first; of Secrets only that they do."""
    present, chosen = release.present, release.chosen
    yield (
        f"{release.owner.name}: revision {present.number} ({present.chart} {present.version}) → "
        f"{chosen.number} ({chosen.chart} {chosen.version})"
    )
    lines = [
        line
        for one in sorted(found, key=lambda one: one.named.key != ("apps", main.kind, main.namespace, main.name))
        for line in _lines(one, release)
    ]
    yield from lines[:MOST_SHOWN]
    yield from filter(None, [left_out(len(lines) - MOST_SHOWN, "changes")])


def _lines(change: Change, release: Release) -> Iterator[str]:
    if change.method != "PATCH":
        yield f"{change.named}: {'made' if change.method == 'POST' else 'deleted'}"
    elif change.named.kind == "Secret" and change.fields:
        keys = _keys(change.named, release.before) | _keys(change.named, release.after)
        yield f"{change.named}: changes, {len(keys)} keys, content not shown"
    else:
        for where, old, new in change.fields:
            yield f"{change.named}: {where}: {field_shown(where, old)} → {field_shown(where, new)}"


def _keys(named: Named, objects: Objects) -> set[str]:
    found = [obj for other, obj in objects.items() if other.key == named.key]
    parts: list[Mapping[str, str]] = [value_at(obj, (part,)) or {} for obj in found for part in ("data", "stringData")]
    return {key for part in parts for key in part}
