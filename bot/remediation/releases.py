"""Reads what a plan needs that rolls a Helm release back, or the HelmChart that makes it: Helm's own history."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.cluster.client.paths import api_path
from bot.cluster.helm.releases import Named, StoredRevision, objects_of
from bot.cluster.writer import Writer, target_of
from bot.domain.errors import ForbiddenError
from bot.domain.plan import Target, value_at
from bot.remediation.actions.draft import Draft, NotPlannedError
from bot.remediation.actions.roll_back import PLURALS, Workload, workload_target
from bot.remediation.actions.roll_back_helm_chart import (
    GROUP,
    VERSION,
    ChartOwner,
    chart_target,
    refuse_chart,
    roll_back_helm_chart,
)
from bot.remediation.actions.roll_back_release import Change, Release, changes, chosen_revision, roll_back_release
from bot.remediation.owners import Owner


async def release_rolled_back(workload: Workload, owner: Owner, wanted: str, writer: Writer) -> Draft:
    """The draft of a rollback of the workload's release; `wanted` is a revision's number, or "".

    Errors: `NotPlannedError`, `BotError`.
    """
    main = workload_target(workload)
    chart = await helm_chart_of(owner, writer)
    if chart:
        refuse_chart(chart, main)  # before Secrets are read
    history = await history_of(main, owner, writer)
    chosen = chosen_revision(history, main, owner, wanted)
    release = Release(
        owner=owner,
        present=history[0],
        chosen=chosen,
        before=objects_of(history[0]),
        after=objects_of(chosen),
    )
    found = changes(release)
    requests = tuple([await _request(one, writer, owner) for one in found])
    others = await _rolled_out_too(found, main, writer)
    if chart:
        return roll_back_helm_chart(workload, chart, release, found, others)
    return roll_back_release(workload, release, found, requests, others)


async def history_of(main: Target, owner: Owner, writer: Writer) -> Sequence[StoredRevision]:
    """What Helm keeps of the release, newest first. Errors: `NotPlannedError`: nothing, or it may not be read."""
    try:
        history = await writer.history(owner.release, owner.namespace)
    except ForbiddenError as error:
        raise NotPlannedError(
            f"{main} belongs to {owner.name}, and Helm keeps its revisions in Secrets: not allowed to "
            f"{error.permission}.",
            owner.how,
        ) from error
    if not history or history[0].release != owner.release:
        raise NotPlannedError(
            f"{main} belongs to {owner.name}, of which no Secret of namespace {owner.namespace} holds a revision.",
            f"Where Helm keeps them elsewhere (HELM_DRIVER), a person does it. {owner.how}",
        )
    return history


async def helm_chart_of(owner: Owner, writer: Writer) -> ChartOwner | None:
    """The HelmChart of K3s or RKE2 that installs this release; None where there is none, or no such API."""
    if await writer.resource(f"{GROUP}/{VERSION}", "HelmChart") is None:
        return None
    for one in await writer.items(api_path("helmcharts", group=GROUP, version=VERSION)):
        metadata: Mapping[str, Any] = one["metadata"]
        where, name = metadata["namespace"], metadata["name"]
        target = value_at(one, ("spec", "targetNamespace")) or where
        if (name, target) == (owner.release, owner.namespace):
            path = api_path("helmchartconfigs", group=GROUP, version=VERSION, namespace=where, name=name)
            chart = await writer.read(chart_target(one).path)  # a list's items have no kind
            return ChartOwner(chart=chart or one, config=await writer.read(path))
    return None


async def _request(change: Change, writer: Writer, owner: Owner) -> tuple[str, str]:
    """How Helm asks the API server for it."""
    found = await writer.resource(change.named.api_version, change.named.kind)
    if found is None:
        raise NotPlannedError(
            f"The API server has no {change.named.kind} of {change.named.api_version}, which a revision of "
            f"{owner.name} holds: Helm cannot go back there.",
            "Upgrade to a chart for this version of Kubernetes.",
        )
    plural, is_namespaced = found
    group, slash, version = change.named.api_version.rpartition("/")
    namespace = change.named.namespace if is_namespaced else ""
    name = "" if change.method == "POST" else change.named.name
    where = group if slash else ""
    return change.method, api_path(plural, group=where, version=version, namespace=namespace, name=name)


async def _rolled_out_too(found: Sequence[Change], main: Target, writer: Writer) -> tuple[Target, ...]:
    """Other workloads of the release whose pods are replaced."""
    targets: list[Target] = []
    for change in found:
        named: Named = change.named
        if not change.replaces_pods or named.kind not in PLURALS or (named.kind, named.name) == (main.kind, main.name):
            continue
        path = api_path(PLURALS[named.kind], group="apps", namespace=named.namespace, name=named.name)
        if obj := await writer.read(path):
            targets.append(target_of(obj, named.kind, path))
    return tuple(targets)
