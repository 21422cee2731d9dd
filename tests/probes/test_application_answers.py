"""Answers of applications: right, wrong, and not asked; and what that makes of a verdict."""

from dataclasses import replace
from typing import Any

import pytest

from bot.agent.report import DialAnswer
from bot.diagnosis.agent_tasks import plan_tasks
from bot.diagnosis.verdict import verdict
from bot.domain import facts
from bot.domain.cause import Differential
from bot.domain.finding import Finding, Severity
from bot.domain.flows import ExpectedAnswer
from bot.domain.report import Coverage
from bot.probes.application_answers import PROBE
from bot.probes.application_answers.observe import complaint
from tests.probes.build import FakeCluster, facts_of, sentences, two_nodes
from tests.probes.services import add_service

WEB = facts.service("shop", "web")
CLIENT = facts.pod("shop", "a")
HTTP = ExpectedAnswer(
    application="Shop", service=WEB, port=80, sources=(CLIENT,), why="clients order here", kind="http", path="/health"
)
GRPC = replace(HTTP, kind="grpc", path="")
DNS = replace(HTTP, kind="dns", path="web.shop", port=53)


def answer(**fields: Any) -> DialAnswer:
    return replace(DialAnswer(source="uid", name="shop/web:80", kind="http", outcome="answered"), **fields)


@pytest.mark.parametrize(
    ("expected", "given", "why"),
    [
        (HTTP, {"status": 200}, ""),
        (HTTP, {"status": 404}, ""),
        (HTTP, {"status": 503}, "HTTP 503, expected a status below 500"),
        (replace(HTTP, statuses=(200, 204)), {"status": 404}, "HTTP 404, expected 200, 204"),
        (replace(HTTP, contains="ok"), {"status": 200, "has_text": True}, ""),
        (replace(HTTP, contains="ok"), {"status": 200, "has_text": False}, "HTTP 200 without the expected text 'ok'"),
        (HTTP, {"outcome": "silent"}, "a connection and no answer"),
        (HTTP, {"outcome": "closed"}, "a connection that was closed without an answer"),
        (HTTP, {"outcome": "not-understood"}, "something that is not HTTP"),
        (
            replace(HTTP, tls="yes"),
            {"outcome": "not-understood", "detail": "wrong version number"},
            "something that is not HTTPS (wrong version number)",
        ),
        (GRPC, {"status": None}, ""),
        (GRPC, {"status": 1}, ""),
        (GRPC, {"status": 2}, "the health NOT_SERVING, expected SERVING"),
        (replace(GRPC, must_serve=True), {"status": 0}, "the health UNKNOWN, expected SERVING"),
        (
            replace(GRPC, must_serve=True),
            {"status": None},
            "no health (the server speaks gRPC, and has no grpc.health.v1)",
        ),
        (GRPC, {"outcome": "not-understood"}, "something that is not gRPC"),
        (DNS, {"rcode": "NOERROR", "addresses": ("10.0.0.7",)}, ""),
        (DNS, {"rcode": "NXDOMAIN"}, "NXDOMAIN and no address"),
        (
            replace(DNS, addresses=("10.0.0.8",)),
            {"rcode": "NOERROR", "addresses": ("10.0.0.7",)},
            "10.0.0.7, expected 10.0.0.8",
        ),
        (DNS, {"outcome": "silent"}, "no answer"),
    ],
)
def test_an_answer_is_held_against_what_is_expected(expected: ExpectedAnswer, given: dict[str, Any], why: str) -> None:
    assert complaint(expected, answer(**given)) == why


def asked(*answers: DialAnswer, expected: ExpectedAnswer = HTTP) -> list[Finding]:
    """What the probe says of these answers of node-1's agent."""
    cluster, client, *_ = two_nodes()
    add_service(cluster, "shop/web", [facts.pod("shop", "c")], port=80)
    uid = cluster.pods[client].metadata.uid
    cluster.node_report("node-1", dials=tuple(replace(each, source=uid) for each in answers) or None)
    return list(PROBE.judge(facts_of(cluster.evidence(expected=(expected,)), PROBE)))


def test_a_wrong_answer_is_a_warning_with_the_question_and_who_asked() -> None:
    (sentence,) = sentences(asked(answer(status=503)), Severity.WARN)

    assert sentence == (
        "shop/web is reached and does not answer as it should: Shop: GET /health on port 80 from shop/a got HTTP 503, "
        "expected a status below 500."
    )


def test_a_right_answer_passes() -> None:
    assert sentences(asked(answer(status=200)), Severity.PASS) == [
        "shop/web answers as it should: GET /health on port 80 (1)."
    ]


def test_who_was_not_reached_has_not_answered_wrongly() -> None:
    found = asked(answer(outcome="no-connection", detail="ECONNREFUSED"))

    assert [each.severity for each in found] == [Severity.INCONCLUSIVE]


def test_what_was_not_asked_is_not_known() -> None:
    cluster, *_ = two_nodes()
    add_service(cluster, "shop/web", [facts.pod("shop", "c")], port=80)

    table = facts_of(cluster.evidence(expected=(HTTP,)), PROBE)

    assert "answers" not in table.of(WEB)
    assert list(PROBE.judge(table)) == []


def test_answers_of_another_port_are_not_taken_for_this_one() -> None:
    assert asked(answer(name="shop/web:8080", status=503)) == []


# Who asks


def clients(cluster: FakeCluster, expected: ExpectedAnswer) -> dict[str, list[str]]:
    """By node, the pods that its agent is to ask from."""
    evidence = cluster.evidence(expected=(expected,), nodes_in_scope=("node-1", "node-2"))
    return {
        node: [evidence.pod_by_uid[uid].name for dial in task.dials for uid in dial.sources]
        for node, task in plan_tasks(evidence, deadline_s=8.0).items()
    }


def test_the_pods_that_need_the_answer_ask_from_their_own_node() -> None:
    cluster, _, _, server = two_nodes()
    add_service(cluster, "shop/web", [server], port=80)

    assert clients(cluster, HTTP) == {"node-1": ["shop/a"], "node-2": []}


def test_a_server_does_not_ask_itself_while_it_has_neighbours() -> None:
    cluster, _, _, server = two_nodes()
    add_service(cluster, "shop/web", [server], port=80)

    assert clients(cluster, replace(HTTP, sources=(server,))) == {"node-1": ["shop/a", "shop/b"], "node-2": []}


def test_a_headless_service_has_no_address_to_ask() -> None:
    cluster, _, _, server = two_nodes()
    add_service(cluster, "shop/web", [server], port=80, ip="None")

    assert clients(cluster, HTTP) == {"node-1": [], "node-2": []}


# The verdict


def test_a_network_that_carries_wrong_answers_is_healthy_and_says_so() -> None:
    cluster, *_ = two_nodes()
    coverage = Coverage(access="agent", nodes_observed=2, nodes_total=2, pods_observed=3, pods_total=3)

    found = verdict(cluster.evidence(), coverage, asked(answer(status=503)), Differential())

    assert found.status == "healthy"
    assert found.summary.endswith("; a matter of the application, not of the network: wrong answers of shop/web.")
