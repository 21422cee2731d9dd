"""Which plan a verdict leads to, so that people need not spell it."""

from bot.cluster.writer import Writer
from bot.domain.plan import value_at
from bot.domain.report import RemediationReport, Report
from bot.domain.subject_name import SubjectName
from bot.remediation.actions.restart_agents import HASH, MOST_NODES
from bot.remediation.actions.roll_back import Workload, revisions_of
from bot.remediation.conditions import owned
from bot.remediation.requests import PlanRequest, RecreatePod, RestartAgents, RollBack, cni_workload
from bot.remediation.templates import substance

ROLL_BACK = "roll-back-cni-agent"
"""The remediation (by id) that a diagnosis adds where a new revision has reached exactly the nodes at fault."""
RESTARTS = frozenset({"restart-calico-node", "restart-cni-agent", "restart-own-agent", "restart-flannel"})
"""Remediations, in `playbooks/causes`, that a restart of the CNI's agent carries out."""
RECREATIONS = frozenset({"recreate-pod", "restart-sidecar"})
"""Those that are done by deleting the pod."""


def offer(report: Report) -> PlanRequest | None:
    """The first fix on offer that a plan can carry out; None where people do all of them."""
    return next((found for fix in report.remediations if (found := _carried_out(fix, report)) is not None), None)


def _carried_out(fix: RemediationReport, report: Report) -> PlanRequest | None:
    if fix.id == ROLL_BACK:
        return RollBack()
    if fix.id in RESTARTS:
        if all(one.node for one in fix.at):
            return None  # no agent's pod is known, or it is a service of the host, restarted there
        nodes = report.blast_radius.fault_nodes
        return RestartAgents(nodes=nodes) if 0 < len(nodes) <= MOST_NODES else None
    if fix.id in RECREATIONS and len(fix.subjects) == 1:  # of several, the first must show whether it helps
        subject = SubjectName.read(fix.subjects[0])
        is_pod = subject.kind == "pod" and subject.namespace
        return RecreatePod(namespace=subject.namespace, pod=subject.short) if is_pod else None
    return None


async def confirmed(asked: PlanRequest, report: Report, writer: Writer) -> PlanRequest:
    """What is offered, as the cluster stands now: a rollback before a restart where that calls for it, and no other.

    Errors: `NotPlannedError`, `BotError`: the cluster could not be read.
    """
    nodes = report.blast_radius.fault_nodes
    if not isinstance(asked, RollBack | RestartAgents) or not nodes:
        return asked
    if _is_of_the_new_revision(await cni_workload(writer), nodes):
        return RollBack()
    return asked if isinstance(asked, RestartAgents) else RestartAgents(nodes=nodes)


def _is_of_the_new_revision(workload: Workload, nodes: tuple[str, ...]) -> bool:
    """Whether the affected nodes are those, and some but not all, that run what the newest revision says."""
    known = revisions_of(workload)
    if len(known) < 2 or substance(known[0].template) == substance(known[1].template):
        return False
    newest = next(one for one in workload.revisions if one["metadata"]["name"] == known[0].name)
    current = value_at(newest, ("metadata", "labels", HASH))
    pods = owned(workload.pods, workload.obj["metadata"]["uid"])
    runs = {value_at(pod, ("spec", "nodeName")): value_at(pod, ("metadata", "labels", HASH)) for pod in pods}
    of_newest = {node for node, carried in runs.items() if carried == current}
    return of_newest == set(nodes) and len(of_newest) < len(runs)
