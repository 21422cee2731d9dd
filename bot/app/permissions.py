"""`cnibot doctor --permissions`: each probe, rung and action, with what it is allowed in each cluster."""

import asyncio
from collections.abc import Mapping

from bot.app.wiring import clusters_of
from bot.cluster.access.ladder import LADDER, rung_needs
from bot.cluster.access.permissions import permissions
from bot.cluster.client.api import Api
from bot.domain.access import Need
from bot.domain.errors import DeadlineError
from bot.domain.facts import Rung
from bot.domain.permissions import Part, Permission
from bot.probes.catalogue import PROBES
from bot.remediation.rights import ACTION_NEEDS
from bot.settings import ClusterSettings, Settings

ASK_S = 25.0

_RUNGS = {
    Rung.EXEC: "Pods are not looked into by commands.",
    Rung.CNI_AGENT: "Nodes are not inspected from the CNI's own agents.",
    Rung.AGENT: "No node agents but standing ones: where there are none, nodes' kernels and distroless pods are not "
    "seen, and no connection is tried.",
}


def parts(bot_namespace: str) -> tuple[Part, ...]:
    """Everything that needs a permission, in the order in which a diagnosis uses it."""
    probes = [Part(kind="probe", name=it.name, needs=it.needs, lost="Its facts are not observed.") for it in PROBES]
    rungs = [
        Part(kind="rung", name=rung, needs=_needed(rung, bot_namespace), lost=_RUNGS[rung])
        for rung in LADDER
        if rung in _RUNGS
    ]
    actions = [
        Part(kind="action", name=name, needs=needs, lost="Such plans are not carried out, only proposed.")
        for name, needs in ACTION_NEEDS.items()
    ]
    return (*probes, *rungs, *actions)


def _needed(rung: Rung, bot_namespace: str) -> tuple[Need, ...]:
    """Without making the namespace, which is there as a rule."""
    return tuple(need for need in rung_needs(rung, bot_namespace=bot_namespace) if not need.is_optional)


async def permissions_in(name: str, cluster: ClusterSettings, bot_namespace: str) -> list[Permission]:
    """What is allowed in one cluster. Errors: `BotError`: it could not be asked."""
    deadline = asyncio.timeout(ASK_S)
    try:
        async with deadline, Api.connect(cluster.kubeconfig, cluster.context) as api:
            return await permissions(api, parts(bot_namespace))
    except TimeoutError:
        if not deadline.expired():
            raise
        raise DeadlineError(f"Cluster {name} did not say what is allowed", ASK_S) from None


async def all_permissions(settings: Settings) -> Mapping[str, list[Permission]]:
    """What is allowed, by cluster. Errors: `BotError`: one of them could not be asked."""
    known = await clusters_of(settings)
    return {name: await permissions_in(name, it, settings.bot_namespace) for name, it in known.items()}
