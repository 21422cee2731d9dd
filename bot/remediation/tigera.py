"""Reads what a plan needs that goes back by the Tigera operator, and takes the way that the history leaves."""

from typing import Any

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, Writer, target_of
from bot.domain.plan import Target
from bot.remediation.actions.draft import Draft, NotPlannedError
from bot.remediation.actions.restore import TIGERA_GROUP
from bot.remediation.actions.roll_back import Workload, chosen_revision, pace, roll_back, workload_target
from bot.remediation.actions.roll_back_tigera import (
    OPERATOR,
    Operator,
    by_installation,
    chosen_way,
    former_version,
    way_by_hand,
    with_what_it_makes,
)
from bot.remediation.owners import owner_of
from bot.remediation.releases import release_rolled_back

_DEPLOYMENT = api_path("deployments", group="apps", namespace=OPERATOR, name=OPERATOR)


async def operator_rolled_back(workload: Workload, wanted: str, writer: Writer) -> Draft:
    """The draft for a workload that the Tigera operator makes; `wanted` is a revision of the workload.

    Errors: `NotPlannedError`, `BotError`.
    """
    main = workload_target(workload)
    pace(workload, main)  # it would not move at all
    chosen = chosen_revision(workload, wanted)
    installation = await _installation(workload, main, writer)
    made_by = target_of(installation, "Installation", _path(installation))
    operator = await _operator(workload, writer)
    if await _has_image_sets(writer):
        raise NotPlannedError(
            f"{main} takes its images from an ImageSet, of which no earlier state is known.",
            "Change the ImageSet back: kubectl get imagesets.operator.tigera.io",
        )
    match chosen_way(workload, chosen, installation, operator):
        case "installation":
            return by_installation(workload, chosen, installation, made_by)
        case "operator":
            assert operator is not None
            return with_what_it_makes(await _operator_itself(operator, writer), workload, chosen, made_by)


async def _operator_itself(operator: Operator, writer: Writer) -> Draft:
    """The rollback of the operator's own Deployment, by whoever owns that."""
    owner = owner_of(operator.workload.obj)
    if owner and owner.is_helm and owner.release:
        return await release_rolled_back(operator.workload, owner, "", writer)
    former = former_version(operator)
    return roll_back(operator.workload, former.name if former else "")


async def _installation(workload: Workload, main: Target, writer: Writer) -> Object:
    """The Installation that the operator makes the workload from."""
    references: list[dict[str, Any]] = workload.obj["metadata"]["ownerReferences"]
    name = next(str(one["name"]) for one in references if str(one["apiVersion"]).startswith(f"{TIGERA_GROUP}/"))
    kind = next(str(one["kind"]) for one in references if str(one["apiVersion"]).startswith(f"{TIGERA_GROUP}/"))
    found = await writer.read(api_path("installations", group=TIGERA_GROUP, name=name))
    if kind != "Installation" or found is None:
        raise NotPlannedError(f"{main} belongs to {kind} {name} of the Tigera operator.", way_by_hand(kind, name))
    return found


def _path(installation: Object) -> str:
    return api_path("installations", group=TIGERA_GROUP, name=installation["metadata"]["name"])


async def _operator(workload: Workload, writer: Writer) -> Operator | None:
    """The operator with its history; None where it is not where its makers put it."""
    deployment = await writer.read(_DEPLOYMENT)
    if deployment is None:
        return None
    return Operator(
        workload=Workload(
            kind="Deployment",
            obj=deployment,
            revisions=await writer.items(api_path("replicasets", group="apps", namespace=OPERATOR)),
            pods=await writer.items(api_path("pods", namespace=OPERATOR)),
            nodes=workload.nodes,
        )
    )


async def _has_image_sets(writer: Writer) -> bool:
    """Whether images are named apart from the operator, which otherwise names them by its own version."""
    if await writer.resource(f"{TIGERA_GROUP}/v1", "ImageSet") is None:
        return False
    return bool(await writer.items(api_path("imagesets", group=TIGERA_GROUP)))
