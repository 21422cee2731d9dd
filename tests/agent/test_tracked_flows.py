"""What connection tracking translates and what of it is in use, from two readings of its table."""

import pytest

from bot.agent.report import TrackedFlow
from bot.agent.tracked_flows import FlowReading, flows_in_use, parse_flows

UDP = (
    "ipv4     2 udp      17 {left} src=10.42.1.5 dst=10.43.0.10 sport={sport} dport=53 {unreplied}"
    "src=10.42.2.7 dst=10.42.1.5 sport=53 dport={sport}{assured} mark=0 zone=0 use=2"
)
TCP = (
    "ipv4     2 tcp      6 {left} {state} src=10.42.1.5 dst=10.43.51.131 sport=44892 dport=9004 "
    "src=10.42.2.7 dst=10.42.1.5 sport=9004 dport=44892 [ASSURED] mark=0 zone=0 use=2"
)


def udp(left: int, *, sport: int = 40053, is_answered: bool = True, is_stream: bool = False) -> str:
    unreplied = "" if is_answered else "[UNREPLIED] "
    return UDP.format(left=left, sport=sport, unreplied=unreplied, assured=" [ASSURED]" if is_stream else "")


def between(before: str, after: str, passed_s: float = 3.0) -> tuple[TrackedFlow, ...]:
    return flows_in_use(parse_flows(before, 100.0), parse_flows(after, 100.0 + passed_s))


@pytest.mark.parametrize(
    ("then", "now", "is_sent"),
    [
        pytest.param(udp(30, is_answered=False), udp(30, is_answered=False), True, id="sent again, unanswered"),
        pytest.param(udp(20), udp(30), True, id="sent again after a while"),
        pytest.param(udp(29), udp(120, is_stream=True), True, id="became a stream"),
        pytest.param(udp(116, is_stream=True), udp(113, is_stream=True), False, id="a stream, a moment ago"),
    ],
)
def test_what_is_sent_over_udp_between_two_readings(then: str, now: str, is_sent: bool):  # noqa: FBT001
    (found,) = between(then, now)

    assert found == TrackedFlow(
        protocol="udp", src="10.42.1.5", dst="10.43.0.10", port=53, to="10.42.2.7", is_sent=is_sent
    )


@pytest.mark.parametrize(
    ("then", "now"),
    [
        pytest.param(udp(29), udp(26), id="asked once and answered"),
        pytest.param(udp(29, is_answered=False), udp(27, is_answered=False), id="asked once without an answer"),
        pytest.param("", udp(30, is_answered=False), id="asked after the first reading, by a test of ours"),
        pytest.param(udp(80, is_stream=True), udp(77, is_stream=True), id="a stream of long ago"),
        pytest.param("", udp(29).replace("src=10.42.2.7", "src=10.43.0.10"), id="not translated"),
        pytest.param("", "no table at all", id="no table"),
    ],
)
def test_udp_that_nobody_goes_on_sending(then: str, now: str):
    assert between(then, now) == ()


def test_sockets_of_one_flow_are_told_once_and_one_that_sends_decides():
    then = f"{udp(29, sport=1)}\n{udp(29, sport=2)}"
    now = f"{udp(26, sport=1)}\n{udp(30, sport=2)}"

    assert [each.is_sent for each in between(then, now)] == [True]


@pytest.mark.parametrize(
    ("left", "state", "is_told"),
    [(296, "ESTABLISHED", True), (86_399, "ESTABLISHED", False), (100, "TIME_WAIT", False)],
    ids=["unacknowledged", "at rest", "over"],
)
def test_of_tcp_what_waits_for_an_acknowledgement(left: int, state: str, is_told: bool):  # noqa: FBT001
    row = TCP.format(left=left, state=state)

    assert [each.protocol for each in between(row, row)] == (["tcp"] if is_told else [])


def test_ipv6_addresses_are_told_in_their_short_form():
    row = udp(30).replace("ipv4     2", "ipv6     10")
    for old, new in (
        ("10.42.1.5", "fd42:0000:0000:0001::0005"),
        ("10.43.0.10", "fd43::000a"),
        ("10.42.2.7", "fd42::2:7"),
    ):
        row = row.replace(old, new)

    (found,) = between(row, row)

    assert (found.src, found.dst, found.to) == ("fd42:0:0:1::5", "fd43::a", "fd42::2:7")


def test_without_a_first_reading_nothing_is_known_to_be_sent():
    found = flows_in_use(None, parse_flows(udp(118, is_stream=True), 100.0))

    assert [each.is_sent for each in found] == [False]
    assert flows_in_use(FlowReading(), FlowReading(at_s=3.0)) == ()
