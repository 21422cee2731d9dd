"""The contract: what the bot sends is what the agent reads, and the other way round; nonsense is refused in words."""

import json
from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.agent.encode import encode
from bot.agent.report import (
    Address,
    ArpResult,
    DnsQuestion,
    Link,
    Missing,
    NetnsState,
    NodeReport,
    PodReport,
    ServicePort,
    Target,
    Task,
    TaskPod,
    Test,
)
from bot.agent.task import TaskError, decode_task
from bot.agent.traced import TraceFlow

FULL = Task(
    node="node-1",
    deadline_s=5,
    pods=(TaskPod(uid="u1", namespace="shop", name="web", ip="10.42.0.3", is_source=True),),
    targets=(
        Target(purpose="cluster-ip", ip="10.43.0.1", name="shop/web:80", port=80, protocol="tcp", tries=4),
        Target(purpose="node", ip="fd00::1", name="node-2", from_node_too=False),
    ),
    questions=(DnsQuestion(server="10.43.0.10", name="kubernetes.default", purpose="dns-service"),),
    services=(ServicePort(name="shop/web:80", ip="10.43.0.1", port=80, protocol="tcp"),),
    mtu_targets=(Target(purpose="node", ip="172.30.0.12", name="node-2"),),
    gateway="169.254.1.1",
    follow=(
        TraceFlow(
            number=1,
            node="node-1",
            source="u1",
            ip="10.42.1.3",
            protocol="tcp",
            addresses=("10.42.1.3",),
            count=17,
            first_port=61440,
        ),
    ),
)
REPORT = NodeReport(
    node="node-1",
    started_at="2026-01-01T00:00:00.000+00:00",
    took_s=1.25,
    is_partial=True,
    root=NetnsState(
        links=(Link(ifindex=1, name="lo", rx_otherhost=0), Link(ifindex=2, name="\u00e9th\u2028\x00", has_arp=False)),
        addresses=(Address(dev="lo", ip="127.0.0.1", prefix_len=8, flags=("permanent",)),),
        sysctls={"ipv4.ip_forward": "1"},
        listeners=(),
    ),
    pods=(
        PodReport(uid="u1", namespace="shop", name="web"),
        PodReport(
            uid="u2",
            namespace="shop",
            name="db",
            is_found=True,
            gateway_arp=ArpResult(ip="169.254.1.1", dev="eth0", answers_ms=(0.1, None)),
            nameservers=(),
        ),
    ),
    tests=(Test(source="node", purpose="node", protocol="icmp", ip="172.30.0.12", outcomes={"ok": 1}, latency_ms=0.2),),
    missing=(Missing(what="a", why="b"),),
)


def line(task: Task) -> bytes:
    return msgspec.json.encode(task)


def test_a_task_that_the_bot_encodes_is_read_back():
    assert decode_task(line(FULL)) == (FULL, ())


def test_a_task_with_only_what_is_required_has_the_defaults():
    assert decode_task('{"node": "n"}')[0] == Task(node="n")


@pytest.mark.parametrize("options", [{}, {"is_pretty": True}])
def test_a_report_that_the_agent_encodes_is_read_back_by_the_bot(options: dict[str, bool]):
    text = encode(REPORT, **options)

    assert text.isascii()
    assert msgspec.json.decode(text, type=NodeReport, strict=True) == REPORT


def test_defaults_are_left_out_of_a_report_and_long_texts_cut():
    report = NodeReport(node="n" * 10_000, started_at="", took_s=0.0, root=NetnsState())
    found = json.loads(encode(report))

    assert found == {"schema": report.schema, "node": "n" * 8192, "started_at": "", "took_s": 0.0, "root": {}}


def test_what_is_no_part_of_a_report_is_not_encoded():
    wrong: Any = {1, 2}
    with pytest.raises(TypeError, match="not part of a report: set"):
        encode(NodeReport(node="n", started_at="", took_s=0.0, root=wrong))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    cast(
        "list[tuple[dict[str, object], str]]",
        [
            ({"node": 5}, "task.node: str is expected, not int '5'"),
            ({"node": None}, "task.node: str is expected, not null"),
            ({"node": "n" * 513}, "task.node: longer than 512 characters"),
            ({"pods": {}}, "task.pods: a list is expected, not dict '{}'"),
            ({"pods": [[]]}, r"task.pods\[0\]: an object is expected, not list '\[\]'"),
            ({"pods": [{"uid": "u"}]}, r"task.pods\[0\].namespace: missing"),
            ({"pods": [{"uid": "u", "namespace": "a", "name": "b", "ip": "10.0.0"}]}, "not an IP address: '10.0.0'"),
            ({"pods": [{"uid": "u", "namespace": "a", "name": "b", "is_source": 1}]}, "is_source: bool is expected"),
            ({"pods": [{"uid": "u", "namespace": "a", "name": "b"}] * 1001}, "task.pods: at most 1000"),
            (
                {"targets": [{"purpose": "love", "ip": "10.0.0.1", "name": "x"}]},
                r"targets\[0\].purpose: one of own-node",
            ),
            ({"targets": [{"purpose": "node", "ip": "10.0.0.1", "name": "x", "port": 65536}]}, "not a port: 65536"),
            ({"targets": [{"purpose": "node", "ip": "10.0.0.1", "name": "x", "tries": 0}]}, "tries: between 1 and 50"),
            ({"deadline_s": 0}, "task.deadline_s: between 0.1 and 60"),
            ({"deadline_s": True}, "task.deadline_s: float is expected, not true"),
            ({"deadline_s": 10**400}, "task.deadline_s: float is expected, not int '10000"),
            ({"patience_s": -1}, "task.patience_s: between 0 and 60"),
            ({"arp_tries": 51}, "task.arp_tries: between 0 and 50"),
            ({"gateway": "gw"}, "task.gateway: not an IP address: 'gw'"),
        ],
    ),
)
def test_a_malformed_task_is_refused_with_the_place(changes: dict[str, object], sentence: str):
    with pytest.raises(TaskError, match=sentence):
        decode_task(json.dumps({"node": "n"} | changes))


def test_too_long_a_task_and_too_deep_a_task_are_refused():
    with pytest.raises(TaskError, match="more than 8388608 bytes"):
        decode_task(b" " * (8 << 20) + b"{}")
    with pytest.raises(TaskError, match="not JSON"):
        decode_task("[" * 100_000)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(
    json_values
    | st.fixed_dictionaries({"node": st.text(), "pods": json_values, "targets": json_values, "deadline_s": json_values})
)
def test_any_json_is_a_task_or_a_sentence(value: object):
    try:
        decode_task(json.dumps(value))
    except TaskError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either way is right


@given(st.binary(max_size=100))
def test_any_bytes_are_a_task_or_a_sentence(data: bytes):
    try:
        decode_task(data)
    except TaskError as error:
        assert str(error)  # noqa: PT017 - either way is right
