"""Can a cluster be diagnosed from here? Reached, rights, and the rung of the access ladder that they allow."""

import asyncio
from collections.abc import Iterable, Sequence
from pathlib import Path

from bot.agent.report import Task
from bot.aio.each import each
from bot.cluster.access.agent_pod import DEFAULT_IMAGE
from bot.cluster.access.ladder import choose_rung
from bot.cluster.access.machines import check_machine
from bot.cluster.access.node_agents import node_agents, run_agent, silent_kubelets
from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path
from bot.cluster.objects import Node
from bot.domain.access import Need
from bot.domain.checks import Check
from bot.domain.errors import BotError, DeadlineError, ForbiddenError, UnauthorizedError, UnreachableError, bounded
from bot.domain.facts import Rung
from bot.domain.listing import and_more

EXAMINE_S = 25.0
AGENT_START_S = 12.0
AGENT_LOOKS_S = 2.0
AGENT_MORE_S = 3.0

_DEPLOY = "kubectl apply --kustomize deploy/manifests"
_OF_CNIS = (".calico.org", "projectcalico.org", "operator.tigera.io", "cilium.io", "policy.networking.k8s.io")
"""API groups that only some clusters serve: not being allowed to read what is not there costs nothing."""


async def cluster_checks(
    name: str,
    kubeconfig: Path | None,
    context: str | None,
    *,
    needs: Sequence[Need],
    bot_namespace: str,
    agent_image: str = "",
    within_s: float = EXAMINE_S,
) -> list[Check]:
    """What works with this cluster. `needs`: what the probes and the snapshot read. Never raises for what it does."""
    deadline = asyncio.timeout(within_s)
    try:
        async with deadline, Api.connect(kubeconfig, context) as api:
            return await _examined(api, name, _common(needs), bot_namespace, agent_image or DEFAULT_IMAGE)
    except TimeoutError:
        if not deadline.expired():
            raise
        error = DeadlineError("The cluster did not answer", within_s)
        return [_unreached(name, error, "Is the API server overloaded, or the way to it slow?")]
    except UnauthorizedError as error:
        return [_unreached(name, error, "Log in again, or give the bot a new token.")]
    except UnreachableError as error:
        return [_unreached(name, error, "Reach it from here with kubectl first.")]
    except BotError as error:
        return [_unreached(name, error, f"Check CNIBOT_CLUSTERS and the kubeconfig ({kubeconfig or 'as kubectl'}).")]


async def _examined(api: Api, name: str, needs: Sequence[Need], bot_namespace: str, agent_image: str) -> list[Check]:
    missing = await _missing(api, needs)
    decision = await choose_rung(api, None, namespace="", bot_namespace=bot_namespace)
    says = f"{api.server}, rung {decision.rung}"
    checks = [_rights(name, missing, says), _rung(name, decision.rung, decision.cannot)]
    if decision.rung is Rung.AGENT:
        checks.append(await _exec(api, name, bot_namespace, agent_image))
    return checks


async def _exec(api: Api, name: str, bot_namespace: str, agent_image: str) -> Check:
    """One command in one node agent: a right to exec says nothing about the way to kubelets, nor about the image."""
    title = f"Cluster {name}: exec"
    nodes = (await api.list_all(api_path("nodes"), Node)).items
    silent = silent_kubelets(nodes)
    node = next((each.metadata.name for each in nodes if each.metadata.name not in silent), "")
    if not node:
        return Check(name=title, state="warning", problem="It was not tried: no node's kubelet reports.")
    try:
        async with node_agents(
            api, [node], namespace=bot_namespace, image=agent_image, start_deadline_s=AGENT_START_S
        ) as agents:
            await agents[node].ready()
            task = Task(node=node, deadline_s=AGENT_LOOKS_S)
            report = await run_agent(api, agents[node], task, deadline_s=AGENT_LOOKS_S + AGENT_MORE_S)
            check_machine(report, {each.metadata.name: each for each in nodes})
    except BotError as error:
        remedy = "Without it only API objects are seen. Compare kubectl exec, and the image (CNIBOT_AGENT_IMAGE)."
        return Check(name=title, state="failed", problem=bounded(str(error)), remedy=remedy, may_pass=True)
    return Check(name=title, says=f"the agent on {node} reported, kernel {report.kernel}")


async def _missing(api: Api, needs: Sequence[Need]) -> list[Need]:
    async def may(need: Need) -> bool:
        try:
            return await api.can_i(need.verb, need.resource, namespace=need.namespace, group=need.group)
        except ForbiddenError:
            return False

    allowed = await each(needs, may, limit=8)
    return [need for need, is_allowed in zip(needs, allowed, strict=True) if not is_allowed]


def _rights(name: str, missing: Sequence[Need], says: str) -> Check:
    title = f"Cluster {name}: rights"
    if not missing:
        return Check(name=title, says=says)
    is_fatal = any(not need.is_optional for need in missing)
    problem = f"Not allowed to {and_more(missing, 4, by='; ')}."
    remedy = f"Grant what deploy/manifests/rbac.yaml grants ({_DEPLOY})."
    return Check(name=title, state="failed" if is_fatal else "warning", says=says, problem=problem, remedy=remedy)


def _rung(name: str, rung: Rung, cannot: Sequence[str]) -> Check:
    title = f"Cluster {name}: access"
    if rung is Rung.AGENT:
        return Check(name=title, says="node agents: everything can be seen")
    remedy = f"Allow node agents in the bot's namespace ({_DEPLOY})."
    return Check(name=title, state="warning", says=f"rung {rung}", problem=cannot[0] if cannot else "", remedy=remedy)


def _unreached(name: str, error: BotError, remedy: str) -> Check:
    return Check(name=f"Cluster {name}", state="failed", problem=bounded(str(error)), remedy=remedy)


def _common(needs: Iterable[Need]) -> list[Need]:
    """Those that mean something in every cluster, each once; who names it first says whether it is optional."""
    once: dict[tuple[str, ...], Need] = {}
    for need in needs:
        once.setdefault((need.verb, need.group, need.resource, need.namespace), need)
    return [need for need in once.values() if not need.group.endswith(_OF_CNIS) and need.resource != "configmaps"]
