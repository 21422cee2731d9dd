"""Accept queues of the pods behind Services: whether they overflow by themselves, or only under our own tests.

All sources of all nodes dial every Service within a second. A queue of nine may overflow under that and be well
otherwise, so growth of the counter while we tested proves nothing. What proves is growth before our first test, and
growth while connections were tried one at a time.

Source: net/ipv4/tcp_ipv4.c (tcp_v4_syn_recv_sock: LINUX_MIB_LISTENOVERFLOWS when the accept queue is full)
"""

from collections.abc import Iterable, Mapping

from bot.agent.report import NetnsState
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence

_OVERFLOWS = "TcpExt.ListenOverflows"
"""ListenDrops counts more than full queues: also clients that vanish halfway, as they do when a route is wrong."""


def overflows_by_itself(state: NetnsState) -> bool | None:
    """Whether an accept queue overflows without a burst of ours; None where it overflowed under ours only."""
    if (state.counters_quiet or {}).get(_OVERFLOWS, 0) or (state.counters_alone or {}).get(_OVERFLOWS, 0):
        return True
    return None if state.counters_delta.get(_OVERFLOWS, 0) else False


@once_per_evidence
def overflowing(evidence: Evidence) -> Mapping[Subject, bool | None]:
    """By pod whether its accept queue overflows by itself, None where it did under our tests only."""
    states = ((pod, report.state) for pod, report in evidence.pod_reports.items())
    return {pod: overflows_by_itself(state) for pod, state in states if state is not None and state.counters}


def common_overflow(evidence: Evidence, pods: Iterable[Subject]) -> tuple[bool | None, str]:
    """Whether the queue of any of these pods overflows by itself; None and why where that is not known."""
    of = overflowing(evidence)
    found = [of[pod] for pod in pods if pod in of]
    if True in found:
        return True, ""
    if None in found:
        return None, "an accept queue overflowed while our own tests ran at once, which proves nothing"
    return (False, "") if found else (None, "no pod behind the Service was inspected from inside")
