"""Sentences with facts in them: checked when loaded, bounded and quoted when filled."""

import pytest

from bot.domain.facts import FactSpec, FactTable, Relations, SubjectKind, Value, node, pair, pod
from bot.probes.catalogue import FACTS
from bot.rules.checking import Vocabulary
from bot.rules.syntax import ExpressionError
from bot.rules.template import template

VOCABULARY = Vocabulary(
    [
        FactSpec(name="pod.own_dev", type="str", doc=""),
        FactSpec(name="pod.ms", type="float", doc=""),
        FactSpec(name="pod.names", type="list", doc=""),
        FactSpec(name="node.is_ready", type="bool", doc=""),
        FactSpec(name="pod.recreate", type="str", doc="", is_command=True),
    ]
)
POD, NODE = pod("shop", "a"), node("node-1")


def render(source: str, **values: Value) -> str:
    return template(source, VOCABULARY, SubjectKind.POD).render(facts(**values), POD)


def commands(source: str, **values: Value) -> tuple[str, ...]:
    return template(source, VOCABULARY, SubjectKind.POD).commands(facts(**values), POD)


def facts(**values: Value) -> FactTable:
    return FactTable({POD: values, NODE: {"is_ready": True}}, relations=Relations(node_of_pod={POD: NODE}))


def test_values_and_names_stand_where_they_were_asked_for() -> None:
    assert render("{pod} on {node}: {pod.own_dev}, ready {node.is_ready}", own_dev="cali1") == (
        "shop/a on node-1: cali1, ready yes"
    )
    assert render("{pod.ms} ms and {{braces}}", ms=12.34567) == "12.35 ms and {braces}"


def test_what_was_not_observed_says_so() -> None:
    assert render("link {pod.own_dev}") == "link (not observed)"
    assert render("no link ({pod.own_dev})") == "no link (not observed)"
    assert commands("ip link show {pod.own_dev}") == ()
    assert template("{pod} {pod.own_dev}", VOCABULARY, SubjectKind.POD).unknown(facts(), POD) == ("pod.own_dev",)


def test_a_list_gives_a_command_for_each_of_its_items() -> None:
    assert commands("ip rule add to {pod.names} dev {pod.own_dev}", names=("a", "b c"), own_dev="cali1") == (
        "ip rule add to a dev cali1",
        "ip rule add to 'b c' dev cali1",
    )
    assert commands("ip rule add to {pod.names}", names=()) == ()


@pytest.mark.parametrize(
    ("values", "reported"),
    [
        (("cali1", "cali2", "cali3"), "cali*"),
        (("20 %", "31 %"), "20 % and 31 %"),
        (("20 %", "31 %", "12 %"), "20 %, 31 % and 1 more"),  # what has nothing in common is no "*"
    ],
)
def test_values_that_differ_are_told_as_one(values: tuple[str, ...], reported: str) -> None:
    pods = [pod("shop", str(number)) for number in range(len(values))]
    known = FactTable({one: {"own_dev": value} for one, value in zip(pods, values, strict=True)})

    assert template("{pod.own_dev}", VOCABULARY, SubjectKind.POD).of_several(known, pods) == reported


def test_a_pods_name_comes_in_two_parts() -> None:
    assert commands("kubectl -n {pod.namespace} logs {pod.name}") == ("kubectl -n shop logs a",)


def test_a_command_that_a_probe_has_put_together_stays_one() -> None:
    """Its words are quoted already: quoted again it would be one word."""
    assert commands("{pod.recreate}", recreate="kubectl -n shop delete pod a") == ("kubectl -n shop delete pod a",)


def test_lists_are_cut() -> None:
    assert render("{pod.names}", names=tuple("abcdefgh")) == "a, b, c, d, e and 3 more"
    assert render("{pod.names}", names=()) == "none"


def test_hostile_values_are_bounded_in_sentences_and_quoted_in_commands() -> None:
    """Names of devices and messages of events come from a cluster."""
    hostile = "x; rm -rf / #\n\x1b[31m"

    assert "\n" not in render("{pod.own_dev}", own_dev=hostile)
    assert len(render("{pod.own_dev}", own_dev="y" * 5_000)) <= 600
    assert commands("ip link show {pod.own_dev}", own_dev=hostile) == ("ip link show 'x; rm -rf / # [31m'",)
    assert commands("ip link show {pod.own_dev}", own_dev="-rf") == ()
    assert commands("ip link show {pod.own_dev}", own_dev="cali1.2@if3") == ("ip link show cali1.2@if3",)


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("{pod.own_dve}", "no probe observes pod.own_dve; did you mean own_dev?"),
        ("{pair.mtu}", "a rule about a pod reads pod, node, cluster, not 'pair'"),
        ("{src}", "a rule about a pod names pod, node, cluster, not 'src'"),
        ("{pod own_dev}", "{pod own_dev} is not a fact: write {variable.fact}"),
        ("{pod.own_dev", "a brace is not closed"),
    ],
)
def test_a_misspelt_field_is_found_when_loaded(source: str, sentence: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        template(source, VOCABULARY, SubjectKind.POD)

    assert str(caught.value) == sentence


PORTS = {"node-1": 4789, "node-2": 4790, "node-3": 4789}
OVERLAY = template(
    "the overlay of {src} uses UDP port {src.overlay_port}, that of {dst} {dst.overlay_port}",
    Vocabulary(FACTS.values()),
    SubjectKind.PAIR,
)


@pytest.mark.parametrize(
    ("pairs", "sentence"),
    [
        ("1>2", "the overlay of node-1 uses UDP port 4789, that of node-2 4790"),
        ("1>2 2>1", "the overlay of node-1 uses UDP port 4789, that of node-2 4790"),
        ("1>2 2>1 2>3 3>2", "the overlay of node-2 uses UDP port 4790, that of node-1 and node-3 4789"),
        ("1>2 3>2", "the overlay of node-1 and node-3 uses UDP port 4789, that of node-2 4790"),
        ("1>2 2>1 2>3", "the overlay of node-2 uses UDP port 4790, that of node-1 and node-3 4789"),
    ],
)
def test_of_several_directions_each_value_stays_with_its_node(pairs: str, sentence: str) -> None:
    subjects = [pair(*(f"node-{number}" for number in each.split(">"))) for each in pairs.split()]
    known = FactTable({node(name): {"overlay_port": port} for name, port in PORTS.items()})

    assert OVERLAY.of_several(known, subjects) == sentence


def test_directions_without_a_node_in_common_name_all_their_nodes() -> None:
    says = template("pods of {src} do not reach pods of {dst}", Vocabulary(FACTS.values()), SubjectKind.PAIR)
    ring = [pair("node-1", "node-2"), pair("node-2", "node-3"), pair("node-3", "node-1")]

    assert says.of_several(FactTable({}), ring) == (
        "pods of node-1, node-2 and node-3 do not reach pods of node-2, node-3 and node-1"
    )
    assert says.of_several(FactTable({}), ring[:2]) == (
        "pods of node-1 and node-2 do not reach pods of node-2 and node-3"
    ), "no direction is left out whose way back is not in it"
