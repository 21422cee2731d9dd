"""Who shares a state, in words that are true and short."""

from bot.domain import facts
from bot.domain.facts import FactTable, Flow, Relations, SubjectKind, Value
from bot.domain.finding import SymptomKind
from bot.probes.shared.sentences import Who, names, plural, sharing, shortened, unseen

NODE = facts.node("node-1")
PODS = tuple(facts.pod("shop", f"p{number}") for number in range(7))
RELATIONS = Relations(node_of_pod=dict.fromkeys(PODS, NODE))


def reported(states: dict[facts.Subject, str | None], *, others: int = 0) -> list[str]:
    """How pods of one node are told that has `others` more that were not inspected."""
    values: dict[facts.Subject, dict[str, Value]] = {
        pod: {} for pod in (*states, *PODS[len(states) : len(states) + others])
    }
    return [str(who) for who, _ in sharing(FactTable(values=values, relations=RELATIONS), states)]


def test_one_pod_is_called_by_its_name() -> None:
    assert reported({PODS[0]: "bad"}) == ["shop/p0 on node-1"]


def test_all_pods_of_a_node_are_told_together() -> None:
    assert reported(dict.fromkeys(PODS[:2], "bad")) == ["both pods on node-1 (shop/p0, shop/p1)"]
    assert reported(dict.fromkeys(PODS, "bad")) == [
        "all 7 pods on node-1 (shop/p0, shop/p1, shop/p2, shop/p3, shop/p4 and 2 more)"
    ]


def test_all_that_were_looked_at_are_not_all() -> None:
    assert reported(dict.fromkeys(PODS[:3], "bad"), others=2) == [
        "all 3 pods inspected on node-1 (shop/p0, shop/p1, shop/p2)"
    ]


def test_a_few_of_many_are_told_one_by_one_and_more_together() -> None:
    few = dict.fromkeys(PODS[:3], "bad") | dict.fromkeys(PODS[3:])
    many = dict.fromkeys(PODS[:4], "bad") | dict.fromkeys(PODS[4:])

    assert reported(few) == ["shop/p0 on node-1", "shop/p1 on node-1", "shop/p2 on node-1"]
    assert reported(many) == ["4 pods on node-1 (shop/p0, shop/p1, shop/p2, shop/p3)"]


def test_pods_that_were_asked_about_are_named_before_all_others() -> None:
    """Whoever asks about a namespace does not look for it behind "and 2 more"."""
    asked = Relations(node_of_pod=RELATIONS.node_of_pod, asked=frozenset(PODS[5:]))
    table = FactTable(values={pod: {} for pod in PODS}, relations=asked)

    assert [str(who) for who, _ in sharing(table, dict.fromkeys(PODS, "bad"))] == [
        "all 7 pods on node-1 (shop/p5, shop/p6, shop/p0, shop/p1, shop/p2 and 2 more)"
    ]


def test_a_pod_without_known_node_stands_alone() -> None:
    table = FactTable(values={pod: {} for pod in PODS[:2]})

    assert [str(who) for who, _ in sharing(table, dict.fromkeys(PODS[:2], "bad"))] == ["shop/p0", "shop/p1"]


def test_the_symptom_of_several_is_that_of_their_node_with_a_flow_for_each() -> None:
    who = Who(pods=PODS[:2], node=NODE, is_all=True)
    symptom = who.symptom(SymptomKind.GATEWAY_SILENT, "gateway")

    assert symptom.subject == NODE
    assert symptom.flows == tuple(Flow(source=pod, source_node=NODE) for pod in PODS[:2])
    assert (who.opening, who.have) == ("Both pods on node-1 (shop/p0, shop/p1)", "have")
    assert Who(pods=PODS[:1], node=NODE).symptom(SymptomKind.GATEWAY_SILENT, "gateway").flows == ()


def table_of(reasons: dict[facts.Subject, str]) -> FactTable:
    return FactTable(
        values={pod: {} for pod in reasons},
        unobserved={pod: {"eth0": why} for pod, why in reasons.items()},
        relations=RELATIONS,
    )


def test_one_reason_is_told_once() -> None:
    (finding,) = unseen(table_of(dict.fromkeys(PODS, "no agent.")), "p", SubjectKind.POD, "eth0", "The link")

    assert finding.subject == NODE
    assert finding.sentence == (
        "The link of 7 pods: shop/p0, shop/p1, shop/p2, shop/p3, shop/p4 and 2 more could not be observed: no agent."
    )


def test_reasons_of_their_own_do_not_flood_a_report() -> None:
    reasons = {pod: f"no program in {pod.name}" for pod in PODS}

    (finding,) = unseen(table_of(reasons), "p", SubjectKind.POD, "eth0", "The link")

    assert finding.sentence == (
        "The link of 7 pods (shop/p0, shop/p1, shop/p2, shop/p3, shop/p4 and 2 more) could not be observed, "
        "for different reasons; for example: no program in shop/p0."
    )


def test_what_is_told_elsewhere_is_no_hole() -> None:
    table = table_of({PODS[0]: "no route"})

    assert list(unseen(table, "p", SubjectKind.POD, "eth0", "The link", lambda _: True)) == []


def test_words() -> None:
    assert names([PODS[1], PODS[0]]) == "shop/p0, shop/p1"
    assert (plural(1, "rule"), plural(2, "rule")) == ("1 rule", "2 rules")
    assert shortened("It did not start. ") == "It did not start"
    assert shortened("word " * 100, 20) == "word word word word …"
