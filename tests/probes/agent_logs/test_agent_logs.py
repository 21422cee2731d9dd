"""What the agents' own logs tell of each node."""

from bot.cluster.snapshot.snapshot import AgentLog
from bot.domain import facts
from bot.domain.finding import Severity
from bot.domain.report import ApiRead, Unobserved
from bot.probes.agent_logs import PROBE
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes

NODE = facts.node("node-1")
LOCKED = "E0407 1 proxier.go:9] Failed to execute iptables-restore: holding the xtables lock"
NEW = LOCKED.replace("E0407", "E0408")


def logged(cluster: FakeCluster, *lines: str, **fields: bool) -> None:
    log = AgentLog(
        namespace="kube-system", pod="kube-proxy-a", node="node-1", container="kube-proxy", lines=lines, **fields
    )
    cluster.snapshot_fields["agent_logs"] = (log,)


def test_the_newest_line_of_a_class_is_quoted_with_its_log():
    cluster, *_ = two_nodes()
    logged(cluster, LOCKED, "I0407 1 main.go:1] all is well", NEW)

    table = facts_of(cluster.evidence(), PROBE)

    quoted = f'kube-system/kube-proxy-a (kube-proxy) logs "{NEW}", the last of 2 lines of this kind'
    assert table.of(NODE) == {"agent_errors": ("rules-locked",), "agent_log": (quoted,)}
    assert sentences(list(PROBE.judge(table)), Severity.WARN) == [f"On node-1, {quoted}."]


def test_the_log_of_a_run_that_ended_is_told_as_such():
    cluster, *_ = two_nodes()
    logged(cluster, "panic: no such device", is_previous=True)

    assert "(kube-proxy, of its run before) logs" in str(facts_of(cluster.evidence(), PROBE).of(NODE)["agent_log"])


def test_an_agent_that_complains_of_nothing_known_is_quiet():
    cluster, *_ = two_nodes()
    logged(cluster, "W0407 1 x.go:1] something failed, of which nobody knows more")

    table = facts_of(cluster.evidence(), PROBE)

    assert table.of(NODE)["agent_errors"] == ()
    assert PROBE.judge(table) == []


def test_what_nothing_called_for_is_unknown():
    cluster, *_ = two_nodes()

    table = facts_of(cluster.evidence(), PROBE)

    assert "agent_errors" not in table.of(NODE)
    assert table.why_unobserved(NODE, "agent_errors") == "nothing required its agents' logs"


def test_what_may_not_be_read_is_unknown():
    cluster, *_ = two_nodes()
    cluster.snapshot_fields["agent_logs"] = ()
    read = ApiRead(plural="pods/log", namespace="kube-system", name="kube-proxy-a")
    cluster.unobserved.append(Unobserved(what="log", why="Not allowed to get pods/log.", kind="api", reads=(read,)))

    table = facts_of(cluster.evidence(), PROBE)

    assert table.why_unobserved(NODE, "agent_errors") == "Not allowed to get pods/log."
