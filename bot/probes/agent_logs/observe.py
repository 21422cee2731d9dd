"""What do the CNI's agents and kube-proxy complain about in their own logs?

An agent knows what it could not do: reach the API server, write its rules, load a program, get an address. Its word
supports a cause whose mechanism was seen and proves none: agents complain, too, of what passes, and of what follows
from another fault.
"""

from collections import defaultdict
from collections.abc import Sequence

from bot.cluster.snapshot.snapshot import AgentLog
from bot.domain import facts
from bot.domain.facts import FactBuilder
from bot.probes.agent_logs.patterns import LOG_ERRORS, error_of_line
from bot.probes.engine.evidence import Evidence
from bot.probes.shared.sentences import plural

_KEYS = ("agent_errors", "agent_log")
_QUOTE = 240


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """By node, the classes of complaint and the newest line of each."""
    logs = evidence.snapshot.agent_logs
    by_node: dict[str, list[AgentLog]] = defaultdict(list)
    for log in logs or ():
        by_node[log.node].append(log)
    unread = next((each.why for each in evidence.unobserved if any(r.plural == "pods/log" for r in each.reads)), "")
    why = unread or ("no log of its agents was read" if logs is not None else "nothing required its agents' logs")
    for name in evidence.nodes:
        node = facts.node(name)
        if not by_node[name]:
            into.miss_all(node, _KEYS, why)
            continue
        found = _complaints(by_node[name])
        into.set(node, "agent_errors", tuple(found))
        into.set(node, "agent_log", tuple(found.values()))


def _complaints(logs: Sequence[AgentLog]) -> dict[str, str]:
    """The newest line of each class, with its log and how many there are, in the order of the classes."""
    found: dict[str, list[tuple[AgentLog, str]]] = defaultdict(list)
    for log in logs:
        for line in log.lines:
            if error := error_of_line(line):
                found[error].append((log, line))
    return {error: _quoted(found[error]) for error in LOG_ERRORS if error in found}


def _quoted(lines: Sequence[tuple[AgentLog, str]]) -> str:
    log, line = lines[-1]
    times = f", the last of {plural(len(lines), 'line')} of this kind" if len(lines) > 1 else ""
    run = ", of its run before" if log.is_previous else ""
    text = line if len(line) <= _QUOTE else f"{line[: _QUOTE - 1]}…"
    return f'{log.namespace}/{log.pod} ({log.container}{run}) logs "{text}"{times}'
