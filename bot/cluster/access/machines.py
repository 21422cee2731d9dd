"""Whether a node report was made on the node that it speaks of: by what the API server knows of the node's machine."""

from collections.abc import Mapping

from bot.agent.report import Machine, NodeReport
from bot.cluster.objects import Node
from bot.domain.errors import AgentError


def check_machine(report: NodeReport, nodes: Mapping[str, Node]) -> None:
    """`AgentError` where the report was made somewhere else, or hides where.

    A kubelet may read other files than the agent does (it has a file system of its own on some distributions), so ids
    of the machine only speak against a report where they are those of another node. The kernel's is one for all; only
    nodes that are containers of one machine share it, and these differ in their machine's id.
    """
    node = nodes.get(report.node)
    if node is None:
        return
    known, made = _machine_of(node).boot_id, report.machine.boot_id
    if known and not made:
        why = "it does not say on which machine it was made, so it is not believed (is its image of our version?)"
        raise AgentError(report.node, why)
    is_of_this_boot = not known or _same(known, made)
    elsewhere = _owner(report, nodes)
    if is_of_this_boot and not elsewhere:
        return
    or_else = "" if is_of_this_boot else " (or the node has just started anew)"
    raise AgentError(
        report.node, f"what it printed was made on {elsewhere or 'another machine'}, so it is not believed{or_else}"
    )


def _owner(report: NodeReport, nodes: Mapping[str, Node]) -> str:
    """Another node with an id of the report's machine that its own node has not; "" for none."""
    for field in ("machine_id", "system_uuid", "boot_id"):
        made = getattr(report.machine, field)
        owners = [name for name, node in nodes.items() if _same(getattr(_machine_of(node), field), made)]
        if owners and report.node not in owners:
            return owners[0]
    return ""


def _machine_of(node: Node) -> Machine:
    info = node.status.node_info
    return Machine(boot_id=info.boot_id, machine_id=info.machine_id, system_uuid=info.system_uuid)


def _same(one: str, other: str) -> bool:
    """Some kernels write a UUID in capitals, some programs without its hyphens."""
    return bool(one) and _plain(one) == _plain(other)


def _plain(value: str) -> str:
    return value.replace("-", "").lower()
