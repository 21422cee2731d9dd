"""Answers of applications to facts: what was asked, from where, and whether the answer is the expected one.

A question for which no connection came about is nothing against the application: whether it is reached, other probes
say.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from bot.agent.report import DialAnswer
from bot.domain.facts import FactBuilder, Subject
from bot.domain.flows import ExpectedAnswer
from bot.domain.listing import and_more
from bot.probes.engine.evidence import Evidence

KEYS = ("answers", "right_answers", "wrong_answers")
LISTED = 8
SERVER_ERRORS = 500
SERVING = 1
HEALTH = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """What came of the questions, by Service."""
    of: dict[Subject, list[ExpectedAnswer]] = defaultdict(list)
    for expected in evidence.expected:
        of[expected.service].append(expected)
    for service, questions in of.items():
        answers = [(each, source, answer) for each in questions for source, answer in _answers(evidence, each)]
        spoken = [(each, source, answer) for each, source, answer in answers if answer.outcome != "no-connection"]
        if not answers:
            into.miss_all(service, KEYS, "no node agent asked it from a pod that needs it")
            continue
        wrong = tuple(
            f"{each.application}: {each.question} on port {each.port} from {source.name} got {why}"
            for each, source, answer in spoken
            if (why := complaint(each, answer))
        )
        right = Counter(
            f"{each.question} on port {each.port}" for each, _, answer in spoken if not complaint(each, answer)
        )
        into.set(service, "answers", _state(len(wrong), right.total()))
        into.set(service, "wrong_answers", wrong[:LISTED])
        into.set(
            service, "right_answers", tuple(f"{asked} ({times})" for asked, times in sorted(right.items()))[:LISTED]
        )


def _state(wrong: int, right: int) -> str:
    if wrong and right:
        return "mixed"
    return "wrong" if wrong else "right" if right else "unreached"


def _answers(evidence: Evidence, expected: ExpectedAnswer) -> Iterator[tuple[Subject, DialAnswer]]:
    for name in sorted(evidence.reports):
        for answer in evidence.reports[name].dials or ():
            source = evidence.pod_by_uid.get(answer.source)
            if source and answer.name == expected.name and answer.kind == expected.kind:
                yield source, answer


def complaint(expected: ExpectedAnswer, answer: DialAnswer) -> str:
    """What is wrong with an answer, and what was expected; "" when it is right."""
    match answer.outcome:
        case "silent":
            return "a connection and no answer" if expected.kind != "dns" else "no answer"
        case "closed":
            return "a connection that was closed without an answer"
        case "not-understood":
            detail = f" ({answer.detail})" if answer.detail else ""
            return f"something that is not {_protocol(expected)}{detail}"
        case _:
            return {"http": _http, "grpc": _grpc, "dns": _dns}[expected.kind](expected, answer)


def _protocol(expected: ExpectedAnswer) -> str:
    if expected.kind == "grpc":
        return "gRPC"
    return "HTTPS" if expected.tls == "yes" else "HTTP"


def _http(expected: ExpectedAnswer, answer: DialAnswer) -> str:
    status = answer.status or 0
    wanted = and_more(expected.statuses, 5) if expected.statuses else f"a status below {SERVER_ERRORS}"
    if status not in expected.statuses if expected.statuses else status >= SERVER_ERRORS:
        return f"HTTP {status}, expected {wanted}"
    if expected.contains and not answer.has_text:
        return f"HTTP {status} without the expected text {expected.contains!r}"
    return ""


def _grpc(expected: ExpectedAnswer, answer: DialAnswer) -> str:
    if answer.status is None:
        return "no health (the server speaks gRPC, and has no grpc.health.v1)" if expected.must_serve else ""
    is_wrong = answer.status != SERVING and (expected.must_serve or answer.status == 2)
    return f"the health {HEALTH.get(answer.status, answer.status)}, expected SERVING" if is_wrong else ""


def _dns(expected: ExpectedAnswer, answer: DialAnswer) -> str:
    if not answer.addresses:
        return f"{answer.rcode} and no address"
    if expected.addresses and not set(expected.addresses) & set(answer.addresses):
        return f"{_listed(answer.addresses)}, expected {_listed(expected.addresses)}"
    return ""


def _listed(addresses: Sequence[str]) -> str:
    return and_more(addresses, 3)
