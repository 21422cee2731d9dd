"""Give a HelmChart of K3s or RKE2 the version and values that Helm keeps of an earlier revision of its release.

Its controller runs `helm upgrade` in a Job whenever the HelmChart's version or values change. A rollback of the release
behind it would hold until the next change of the HelmChart. Where a file on the servers makes the HelmChart, the file
has the last word; by the failure policy "reinstall", which is the default, an upgrade that fails uninstalls the CNI.

Source: https://github.com/k3s-io/helm-controller pkg/controllers/chart/chart.go, pkg/apis/helm.cattle.io/v1/types.go
Source: https://github.com/k3s-io/klipper-helm entry (what the Job does with a release that failed or is pending)
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import yaml

from bot.cluster.client.paths import api_path
from bot.cluster.helm.releases import StoredRevision
from bot.cluster.writer import Object, target_of
from bot.domain.plan import JobDone, NewTemplate, Replace, RolledOut, Step, Target, value_at
from bot.domain.redact import redact
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on
from bot.remediation.actions.roll_back import LAST_APPLIED, Workload, pace, workload_target
from bot.remediation.actions.roll_back_release import (
    MOST_SHOWN,
    Change,
    Release,
    as_it_will_be,
    refuse_unfit,
    release_evidence,
    release_warnings,
)
from bot.remediation.differences import differences, field_shown
from bot.remediation.owners import owner_of
from bot.remediation.templates import template_digest

GROUP, VERSION = "helm.cattle.io", "v1"
_UNMANAGED = ("metadata", "annotations", "helmcharts.helm.cattle.io/unmanaged")
_SAFE = frozenset({"abort", "retry"})
"""Failure policies by which nothing is uninstalled."""
JOB_S = 600.0
"""How long the controller's Job may take to fetch the chart and upgrade."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChartOwner:
    """A HelmChart, and what else its controller takes into account."""

    chart: Object
    config: Object | None
    """The HelmChartConfig of the same name."""


def roll_back_helm_chart(
    workload: Workload, owner: ChartOwner, release: Release, found: Sequence[Change], others: Sequence[Target]
) -> Draft:
    """The draft. Errors: `NotPlannedError`."""
    main, chart = workload_target(workload), chart_target(owner.chart)
    refuse_chart(owner, main)
    spec: Mapping[str, Any] = owner.chart["spec"]
    present, chosen = release.present, release.chosen
    _refuse_release(spec, release, chart)
    new, drifted = refuse_unfit(workload, release, found)
    after = _spec_of(spec, present, chosen, chart)
    seconds = JOB_S + pace(as_it_will_be(workload, new), main)
    step = Step(
        title=f"give {chart} the chart and values of revision {chosen.number} of its release",
        do=Replace(target=chart, field=("spec",), before=spec, after=after),
        verify=(
            NewTemplate(target=main, former=template_digest(workload.obj)),
            JobDone(target=_job(chart)),
            RolledOut(target=main),
            *(RolledOut(target=one) for one in others),
        ),
        within_s=seconds,
        undo="person",
    )
    return Draft(
        action="roll-back-helm-chart",
        title=f"roll {chart} back to revision {chosen.number} of its release",
        risk="r3",
        main=chart,
        former_mark=mark_on(owner.chart),
        steps=(step,),
        expected_s=seconds / 3,
        disruption=f"Every pod of {main} is replaced, as its update strategy says, and the whole release goes back.",
        affected=(str(main), *(str(one) for one in others)),
        warnings=(*_warnings(owner.chart), *release_warnings(workload, release, found), *drifted),
        evidence=(*release_evidence(release, found, main), *_values_shown(present, chosen)),
    )


def chart_target(chart: Object) -> Target:
    """As a plan names it."""
    metadata = chart["metadata"]
    where, name = metadata["namespace"], metadata["name"]
    path = api_path("helmcharts", group=GROUP, version=VERSION, namespace=where, name=name)
    return target_of(chart, "HelmChart", path)


def _job(chart: Target) -> Target:
    name = f"helm-install-{chart.name}"
    path = api_path("jobs", group="batch", namespace=chart.namespace, name=name)
    return Target(kind="Job", path=path, name=name, namespace=chart.namespace, uid="", resource_version="")


def refuse_chart(owner: ChartOwner, main: Target) -> None:
    """Errors: `NotPlannedError`: a change of the HelmChart would be undone, do more than it says, or do nothing."""
    chart = chart_target(owner.chart)
    if above := owner_of(owner.chart):
        raise NotPlannedError(f"{main} belongs to {chart}, and that to {above.name}.", above.how)
    edit = f"kubectl edit helmchart {chart.name} --namespace {chart.namespace}"
    if value_at(owner.chart, _UNMANAGED) is not None:
        raise NotPlannedError(f"{chart} is annotated as unmanaged: its controller leaves it alone.", f"Then: {edit}")
    if owner.config is not None:
        raise NotPlannedError(
            f"{main} belongs to {chart}, whose values are completed by HelmChartConfig {chart.namespace}/{chart.name}: "
            "what of an earlier revision came from which is not known.",
            f"Go back there: kubectl edit helmchartconfig {chart.name} --namespace {chart.namespace}",
        )
    spec: Mapping[str, Any] = value_at(owner.chart, ("spec",)) or {}
    policy = spec.get("failurePolicy") or "reinstall"
    if policy not in _SAFE:
        raise NotPlannedError(
            f"{chart} has the failure policy {policy}: an upgrade that fails would uninstall the CNI.",
            f"Set failurePolicy: abort first, which changes nothing else: {edit}",
        )
    for name, why in (
        ("chartContent", "holds its chart itself, and an earlier one is kept nowhere"),
        ("valuesSecrets", "takes values from Secrets, which may be others by now"),
    ):
        if spec.get(name):
            raise NotPlannedError(f"{chart} {why} ({name}).", f"Go back by hand: {edit}")
    if spec.get("driver", "secret") != "secret":
        raise NotPlannedError(f"Helm keeps the revisions of {chart} in no Secrets (driver: {spec['driver']}).", edit)


def _refuse_release(spec: Mapping[str, Any], release: Release, chart: Target) -> None:
    present, chosen = release.present, release.chosen
    if present.status != "deployed" and spec.get("failurePolicy") != "retry":
        raise NotPlannedError(
            f"Revision {present.number} of the release of {chart} is {present.status}, and by the failure policy abort "
            "its controller waits for a person.",
            f"{release.owner.how} Then set the HelmChart to the same.",
        )
    if present.chart != chosen.chart:
        raise NotPlannedError(f"Revision {chosen.number} is of another chart: {chosen.chart}, not {present.chart}.")
    is_archive = str(spec.get("chart", "")).startswith(("http://", "https://"))
    if is_archive and present.version != chosen.version:
        raise NotPlannedError(
            f"{chart} names its chart by the address of an archive, and not by a version: where that of "
            f"{chosen.version} is, is not known.",
            f"Set it by hand: kubectl edit helmchart {chart.name} --namespace {chart.namespace}",
        )


def _spec_of(
    spec: Mapping[str, Any], present: StoredRevision, chosen: StoredRevision, chart: Target
) -> Mapping[str, Any]:
    """The HelmChart's spec with the version and the values of a revision; the rest stays."""
    given = values_of(spec)
    if given is not None and given != present.values:
        raise NotPlannedError(
            f"{chart} gives other values than revision {present.number} of its release has: its controller has not "
            "carried out the last change.",
            f"See: kubectl describe job helm-install-{chart.name} --namespace {chart.namespace}",
        )
    after = {**spec}
    if chosen.version != present.version:
        after["version"] = chosen.version
    if chosen.values != present.values:
        after = {key: value for key, value in after.items() if key not in {"set", "values", "valuesContent"}}
        text = yaml.safe_dump(dict(chosen.values), sort_keys=True, default_flow_style=False)
        after |= {"valuesContent": text} if chosen.values else {}
        if any(redact(one) != one for one in (text, str(spec.get("valuesContent", "")))):
            raise NotPlannedError(
                f"The values of {chart} hold what looks like a secret, which no plan keeps.",
                f"Go back by hand: kubectl edit helmchart {chart.name} --namespace {chart.namespace}",
            )
    if after == spec:
        raise NotPlannedError(
            f"Revision {chosen.number} has the version and the values that {chart} has now: its controller would do "
            "nothing.",
            "The chart renders something else from the same values; look for what it reads from the cluster.",
        )
    return after


def values_of(spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What a HelmChart gives to Helm as values; None where that is not plain to see."""
    if spec.get("set"):
        return None  # in a grammar of Helm's own
    try:
        content: Any = yaml.safe_load(str(spec.get("valuesContent") or "")) or {}
    except (yaml.YAMLError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    return _merged(cast("dict[str, Any]", content), spec.get("values") or {})


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Values over values, as Helm lays one file over another."""
    found = dict(below)
    for key, value in above.items():
        old: Any = found.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        found[key] = _merged(cast("Mapping[str, Any]", old), cast("Mapping[str, Any]", value)) if both else value
    return found


def _warnings(chart: Object) -> Iterator[str]:
    spec: Mapping[str, Any] = chart["spec"]
    source = field_shown("repo", spec.get("repo") or spec.get("chart"))
    yield f"A Job of its controller fetches the chart from {source}: it must be there, and reachable."
    if not spec.get("bootstrap"):
        yield (
            "The Job's pod uses the pod network (bootstrap is not set): where that is broken, it may not reach the "
            "API server."
        )
    if value_at(chart, LAST_APPLIED):
        yield "The next `kubectl apply` of the same HelmChart brings the present one back: change it too."


def _values_shown(present: StoredRevision, chosen: StoredRevision) -> Iterator[str]:
    for where, old, new in list(differences(present.values, chosen.values))[:MOST_SHOWN]:
        yield f"values: {where}: {field_shown(where, old)} → {field_shown(where, new)}"
