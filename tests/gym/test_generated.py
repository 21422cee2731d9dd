"""The generated gym: what a seed draws, how sockets prove it, and that scores fall when verdicts are wrong."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.causes.cause import Cause
from bot.diagnosis.knowledge import load_knowledge
from bot.domain.errors import ConfigurationError
from bot.domain.report import CauseReport, Coverage, FindingReport, Report, ReportScope, Trace, Verdict
from bot.gym.generated import probe
from bot.gym.generated.draw import CNIS
from bot.gym.generated.figures import baselines, figures, wilson
from bot.gym.generated.generate import FAMILY_WEIGHTS, LATER_SHARES, decoy, mechanisms, named, plan, scenario
from bot.gym.generated.inject import check_names, explained
from bot.gym.generated.lab_names import NAMES, LabNames
from bot.gym.generated.oracle import GONE, Answer, all_work, checks, effect, self_checks
from bot.gym.generated.outcome import Result, judged, skipped
from bot.gym.generated.page import section
from bot.gym.generated.results import GeneratedResults, left, load, save, summary
from bot.gym.generated.scenario import Scenario
from bot.gym.results import this_machine

MANY = 400
PLACEHOLDERS = LabNames(values={name: f"<{name.lower()}>" for name in NAMES})
EFFECTIVE = effect({"connect a b:1": Answer(ok=10, of=10)}, {"connect a b:1": Answer(ok=0, of=10, error="timeout")})
seeds, planes = st.integers(0, 10**6), st.sampled_from(CNIS)


@pytest.fixture(scope="module")
def causes() -> dict[str, Cause]:
    return {cause.id: cause for cause in load_knowledge().causes}


# --- the generator ---


@given(seed=seeds, cni=planes)
def test_a_seed_and_a_data_plane_decide_everything(seed: int, cni: str) -> None:
    assert scenario(seed, cni) == scenario(seed, cni)
    assert decoy(seed, cni) == decoy(seed, cni)
    assert named(scenario(seed, cni).id) == scenario(seed, cni)
    assert named(decoy(seed, cni).id) == decoy(seed, cni)


@given(seed=seeds, cni=planes)
def test_commands_use_only_names_that_a_lab_has_and_every_step_has_a_way_back(seed: int, cni: str) -> None:
    for one in (scenario(seed, cni), decoy(seed, cni)):
        check_names(one, frozenset(NAMES))
        assert one.steps or one.changes
        assert all(step.do and step.undo for step in one.steps)


def test_a_name_that_no_lab_has_is_refused() -> None:
    one = scenario(1, CNIS[0])
    broken = replace(one, steps=(replace(named_step(), do="ip link set $NO_SUCH down"),))

    with pytest.raises(ConfigurationError, match="NO_SUCH"):
        check_names(broken, frozenset(NAMES))


def named_step():
    return next(one for seed in range(99) if (one := scenario(seed, CNIS[0])).steps).steps[0]


@pytest.mark.parametrize("cni", CNIS)
def test_every_family_and_every_mechanism_of_a_data_plane_is_drawn(cni: str) -> None:
    drawn = Counter(scenario(seed, cni).mechanism for seed in range(MANY))
    drawn.update(decoy(seed, cni).mechanism for seed in range(MANY))

    assert set(drawn) == {one.id for one in mechanisms() if cni in one.cnis}


def test_families_come_as_often_as_their_weights_say() -> None:
    drawn = Counter(scenario(seed, cni).family for cni in CNIS for seed in range(MANY))
    whole, total = sum(drawn.values()), sum(FAMILY_WEIGHTS.values())

    left = 1 - sum(LATER_SHARES.values())
    shares = {family: left * weight / total for family, weight in FAMILY_WEIGHTS.items()} | LATER_SHARES
    for family, share in shares.items():
        low, high = wilson(drawn[family], whole)
        assert low - 0.02 <= share <= high + 0.02, family


def test_draws_compose_hundreds_of_different_kinds_in_both_directions_and_on_every_selector() -> None:
    drawn = [scenario(seed, cni) for cni in CNIS for seed in range(MANY)]

    assert len({one.kind for one in drawn}) > 200
    assert {one.direction for one in drawn} == {"request", "reply", "both"}
    assert {one.selector for one in drawn} >= {
        "pod",
        "port",
        "pod and port",
        "node",
        "size",
        "fraction",
        "state",
        "all",
    }
    assert {one.scope for one in drawn} == {"pod", "node", "cluster"}
    families = {step.do.split()[2] for one in drawn for step in one.steps if step.do.startswith("nft 'table")}
    assert families == {"ip", "inet", "bridge", "netdev", "arp"}


@given(seed=seeds, cni=planes)
def test_the_truth_of_a_fault_has_a_hop_and_a_culprit_and_a_decoy_has_none(seed: int, cni: str) -> None:
    fault, quiet = scenario(seed, cni).truth, decoy(seed, cni).truth

    assert fault.hops
    assert fault.words or fault.objects
    assert fault.words or fault.causes
    assert (quiet.causes, quiet.hops, quiet.words, quiet.objects) == ((), (), (), ())


def test_a_plan_takes_the_data_planes_one_after_the_other_with_decoys_between() -> None:
    planned = plan(30, 9, seed=5)

    assert [one.is_decoy for one in planned].count(True) == 9
    order = [one.cni for one in planned]
    assert order == sorted(order, key=CNIS.index)
    assert plan(30, 9, seed=5) == planned != plan(30, 9, seed=6)
    assert {one.cni for one in plan(4, 0, seed=1, cnis=(CNIS[1],))} == {CNIS[1]}


@pytest.mark.parametrize("name", ["7", "calico-vxlan", "weave/7", "calico-vxlan/x"])
def test_what_is_no_id_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError):
        named(name)


@given(seed=seeds, cni=planes)
def test_the_explanation_has_every_command_and_every_way_back(seed: int, cni: str) -> None:
    one = scenario(seed, cni)
    text = explained(one, PLACEHOLDERS)

    assert text.count("cnibot lab exec") == 2 * len(one.steps)
    assert text.count("kubectl") == len(one.changes)
    assert "$SRC_" not in text
    assert "$SRC_IP" in explained(replace(one, says="$SRC_IP"))


# --- the oracle ---


def test_sockets_tell_a_listener_from_a_closed_port_and_a_name_from_none() -> None:
    import socket  # noqa: PLC0415

    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        asked = [
            {"id": "open", "kind": "connect", "host": "127.0.0.1", "port": server.getsockname()[1], "tries": 3},
            {"id": "closed", "kind": "connect", "host": "127.0.0.1", "port": closed.getsockname()[1], "tries": 3},
            {"id": "name", "kind": "lookup", "host": "127.0.0.1", "tries": 1},
        ]
        argv = [sys.executable, "-IS", str(Path(probe.__file__)), json.dumps(asked)]
        said = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True, timeout=30).stdout)

    assert said["open"] == {"ok": 3, "of": 3, "slow": 0, "error": ""}
    assert said["closed"] == {"ok": 0, "of": 3, "slow": 0, "error": "connection refused"}
    assert said["name"]["ok"] == 1


def test_an_effect_is_what_worked_before_and_does_not_now() -> None:
    works, lost = Answer(ok=10, of=10), Answer(ok=4, of=10, error="timeout")
    before = {"connect a b:1": works, "lookup a b:1": works, "connect c b:1": lost}
    found = effect(before, {**before, "connect a b:1": lost})

    assert found is not None
    assert (found.broken, found.share, found.symptom) == (("connect a b:1",), 0.6, "connect: timeout")
    assert effect(before, before) is None
    assert effect(before, {**before, "lookup a b:1": replace(works, slow=1)}) is not None
    assert effect(before, {}) is not None
    assert not all_work({"x": GONE})


def test_a_new_pod_without_a_network_is_an_effect() -> None:
    works = {"connect a b:1": Answer(ok=10, of=10)}
    found = effect(works, {**works, "network canary": replace(GONE, error="none")})

    assert found is not None
    assert found.symptom == "network: none"


def test_what_is_asked_is_what_applications_of_the_namespace_dial() -> None:
    asked = checks("seldon-mesh", {"seldon-scheduler": "10.43.0.7"})

    assert set(asked) == {"sklearn-iris", "income-classifier", "mlserver"}
    assert {one["kind"] for one in asked["mlserver"]} == {"connect", "echo", "lookup"}
    assert all(one["host"] == "10.43.0.7" for some in asked.values() for one in some if one["kind"] == "connect")


def test_a_decoy_may_not_keep_a_server_from_itself_either() -> None:
    """A rule that takes kube-proxy's mark away breaks just that, and looks harmless to all others."""
    services = [
        {"name": "mlflow", "ip": "10.43.0.7", "tcp": [5000, 5001]},
        {"name": "peers", "ip": "None", "tcp": [7000]},
        {"name": "left-behind", "ip": "10.43.0.9", "tcp": [80]},
    ]

    asked = self_checks(services, ["mlflow-5c8fb87b8f-xxgpf", "peers-0"])

    assert {name: [(one["host"], one["port"]) for one in some] for name, some in asked.items()} == {
        "mlflow": [("10.43.0.7", 5000), ("10.43.0.7", 5001)]
    }


# --- the score ---


def report(
    *,
    status: str = "broken",
    cause: str | None = None,
    confidence: str | None = "confirmed",
    hop: str | None = None,
    said: str = "",
) -> Report:
    failed = FindingReport(probe="p", subject="s", severity="fail", sentence=said)
    held = (
        CauseReport(
            id=cause or "",
            title=cause or "",
            confidence=confidence,  # type: ignore[arg-type]
            hop=hop or "node",  # type: ignore[arg-type]
            evidence_for=(said,),
            explains=("service-unreachable pod a/b",),
        ),
    )
    return Report(
        scope=ReportScope(cluster="lab", namespace="seldon-mesh"),
        started_at="2026-01-01T00:00:00Z",
        took_s=2.0,
        verdict=Verdict(
            status=status,  # type: ignore[arg-type]
            cause=cause,
            confidence=confidence if cause else None,  # type: ignore[arg-type]
            hop=hop,  # type: ignore[arg-type]
            summary=said,
        ),
        causes=held if cause else (),
        findings=() if status == "healthy" else (failed,),
        coverage=Coverage(access="agent", nodes_observed=3, nodes_total=3, pods_observed=4, pods_total=4),
    )


def scored(one: Scenario, of: Report, causes: dict[str, Cause]) -> Result:
    return judged(one, None if one.is_decoy else EFFECTIVE, of, causes, rung="agent", filled=PLACEHOLDERS.filled)


WORTH = {"right": 6, "partly": 5, "honest": 4, "vague": 3, "misled": 2, "healthy": 1, "wrong-confirmed": 0}


def right_report(one: Scenario, cause: str) -> Report:
    culprit = PLACEHOLDERS.filled((one.truth.words or one.truth.objects)[0])
    return report(cause=cause, hop=one.truth.hops[0], said=culprit)


def known(one: Scenario, causes: dict[str, Cause]) -> str:
    return next((cause for cause in one.truth.causes if cause in causes), "")


def with_words(seed: int, cni: str) -> Scenario:
    """A fault whose culprit has words of its own."""
    return next(one for number in range(seed, seed + 99) if (one := scenario(number, cni)).truth.words)


@settings(deadline=None)
@given(seed=seeds, cni=planes)
def test_the_score_falls_with_each_thing_that_is_wrong(causes: dict[str, Cause], seed: int, cni: str) -> None:
    one = next(each for number in range(seed, seed + 99) if (each := scenario(number, cni)).truth.causes)
    cause = known(one, causes) or "brand-new"
    good = right_report(one, cause)
    stranger = next(
        each
        for each, what in causes.items()
        if each not in {*one.truth.causes, *one.truth.follows} and not what.is_consequence
    )
    wrong_hop = "application" if "application" not in one.truth.hops else "underlay"

    ladder = [
        good,
        report(cause=one.truth.causes[0], hop=wrong_hop, said="nothing"),
        report(status="inconclusive", hop=one.truth.hops[0], said="nothing"),
        report(status="inconclusive", hop=wrong_hop, said="nothing"),
        report(cause=stranger, confidence="likely", hop=wrong_hop, said="nothing"),
        report(status="healthy"),
        report(cause=stranger, hop=wrong_hop, said="nothing"),
    ]

    assert [scored(one, each, causes).outcome for each in ladder] == list(WORTH)


@settings(deadline=None)
@given(seed=seeds, cni=planes)
def test_another_id_is_right_only_when_it_names_the_very_thing_on_the_right_hop(
    causes: dict[str, Cause], seed: int, cni: str
) -> None:
    one = with_words(seed, cni)
    culprit = PLACEHOLDERS.filled(one.truth.words[0])
    wrong_hop = "application" if "application" not in one.truth.hops else "underlay"

    assert scored(one, report(cause="brand-new", hop=one.truth.hops[0], said=culprit), causes).outcome == "right"
    assert scored(one, report(cause="brand-new", hop=wrong_hop, said=culprit), causes).outcome == "wrong-confirmed"


def test_where_it_is_counts_only_beside_the_right_cause(causes: dict[str, Cause]) -> None:
    one = next(s for seed in range(99) if (s := scenario(seed, CNIS[0])).mechanism == "wrong-target-port")
    said = f"Endpoints of {PLACEHOLDERS.filled(one.truth.objects[0])} do not answer"

    assert scored(one, report(cause="service-wrong-target-port", hop="service", said=said), causes).outcome == "right"
    assert scored(one, report(cause="node-down", hop="service", said=said), causes).outcome == "wrong-confirmed"


@pytest.mark.parametrize(
    ("said", "subjects", "traced", "is_named"),
    [
        ("ICMP got no answer", (), "", False),
        ("the answers to shop/a are dropped", (), "", True),
        ("ICMP got no answer", (), "reply", True),
        ("ICMP got no answer", (), "request", False),
        ("ICMP got no answer", ("pair $DST_NODE>$SRC_NODE",), "", True),
        ("ICMP got no answer", ("pair $SRC_NODE>$DST_NODE", "pair $DST_NODE>$SRC_NODE"), "", False),
    ],
)
def test_that_replies_are_lost_is_told_by_words_by_a_trace_or_by_the_pair_as_they_go(
    causes: dict[str, Cause],
    said: str,
    subjects: tuple[str, ...],
    traced: Any,
    is_named: bool,  # noqa: FBT001
) -> None:
    one = next(s for seed in range(99) if (s := scenario(seed, CNIS[0])).direction == "reply" and not s.edge.is_local)
    made = report(cause="fdb-entry-wrong", hop="overlay", said=said)
    held = replace(made.causes[0], subjects=tuple(map(PLACEHOLDERS.filled, subjects)))
    trace = (Trace(flow="TCP", source="pod shop/a", sent=9, lost=9, direction=traced),) if traced else ()

    assert scored(one, replace(made, causes=(held,), trace=trace), causes).is_direction_named is is_named


def test_a_consequence_is_no_lie_and_no_answer(causes: dict[str, Cause]) -> None:
    one = next(s for seed in range(99) if (s := scenario(seed, CNIS[0])).mechanism == "nft-rule")
    follows = "service-no-ready-endpoints"

    assert causes[follows].is_consequence
    assert scored(one, report(cause=follows, hop="service", said="nothing"), causes).outcome == "misled"


@given(seed=seeds, cni=planes)
def test_any_blame_in_a_decoy_counts_against_the_bot(seed: int, cni: str) -> None:
    one, none = decoy(seed, cni), dict[str, Cause]()

    assert scored(one, report(status="healthy"), none).outcome == "quiet"
    assert scored(one, replace(report(status="inconclusive"), findings=()), none).outcome == "unsure"
    assert scored(one, report(status="inconclusive", hop="dns"), none).outcome == "alarm"
    assert scored(one, report(cause="x", hop="node", confidence="likely"), none).outcome == "alarm"
    assert scored(one, report(cause="x", hop="node"), none).outcome == "wrong-confirmed"


# --- the figures ---


@given(part=st.integers(0, 200), more=st.integers(0, 200))
def test_wilsons_interval_holds_the_share_and_narrows_with_the_number(part: int, more: int) -> None:
    whole = part + more
    low, high = wilson(part, whole)

    assert 0.0 <= low <= (part / whole if whole else 0.5) + 1e-9
    assert high <= 1.0
    assert not whole or part / whole <= high + 1e-9
    tenfold = wilson(10 * part, 10 * whole)
    assert tenfold[1] - tenfold[0] <= high - low + 1e-9


def test_wilsons_interval_is_the_published_one() -> None:
    low, high = wilson(8, 10)

    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)


def many(causes: dict[str, Cause], make: Callable[[Scenario], Report]) -> list[Result]:
    return [scored(scenario(seed, CNIS[seed % 3]), make(scenario(seed, CNIS[seed % 3])), causes) for seed in range(30)]


def test_figures_count_outcomes_and_leave_out_what_had_no_effect(causes: dict[str, Cause]) -> None:
    good = many(causes, lambda one: right_report(one, (*one.truth.causes, "brand-new")[0]))
    bad = many(causes, lambda _: report(status="healthy"))
    skips = [skipped(scenario(1, CNIS[0]), "no effect"), skipped(decoy(1, CNIS[0]), "not done", "refused")]
    total = figures([*good, *bad[:10], *skips])

    assert (total.broken, total.faults["right"], total.faults["healthy"]) == (40, 30, 10)
    assert (total.without_effect, total.not_done) == (1, 1)
    assert total.share("right").part == 30
    assert total.healthy_while_broken == tuple(one.id for one in bad[:10])


def test_a_second_verdict_that_differs_is_a_flip(causes: dict[str, Cause]) -> None:
    good = many(causes, lambda one: right_report(one, (*one.truth.causes, "brand-new")[0]))
    asked = [replace(one, is_repeated=True) for one in good[:4]]
    total = figures([*asked[:3], replace(asked[3], again="healthy - (healthy)"), *good[4:]])

    assert (total.flips.part, total.flips.whole) == (1, 4)


def test_baselines_know_the_answers_and_are_bounded_by_all(causes: dict[str, Cause]) -> None:
    good = many(causes, lambda one: right_report(one, (*one.truth.causes, "brand-new")[0]))
    frequent, alert = baselines([*good, skipped(scenario(1, CNIS[0]), "no effect")])

    assert 0 < frequent.right.part <= alert.right.part <= alert.right.whole == 30


def test_a_run_is_kept_and_goes_on_where_it_ended(tmp_path: Path, causes: dict[str, Cause]) -> None:
    planned = plan(6, 3, seed=1)
    done = [scored(one, report(status="healthy"), causes) for one in planned[:4]]
    run = GeneratedResults(command="cnibot lab gym", machine=this_machine(), seed=1, results=tuple(done))
    save(tmp_path / "run.json", run)

    assert load(tmp_path / "run.json") == run
    assert left(planned, load(tmp_path / "run.json").results) == planned[4:]
    (tmp_path / "run.json").write_text("[]")
    with pytest.raises(ConfigurationError):
        load(tmp_path / "run.json")


def test_the_page_names_what_was_wrong_with_the_seed_to_repeat(causes: dict[str, Cause]) -> None:
    one = scenario(7, CNIS[0])
    stranger = "node-down" if "node-down" not in one.truth.causes else "pod-eth0-down"
    wrong = scored(one, report(cause=stranger, hop="application", said="nothing"), causes)
    run = GeneratedResults(command="cnibot lab gym", machine=this_machine(), seed=7, results=(wrong,))
    text = "\n".join(section(run))

    assert f"| {one.id} |" in text
    assert stranger in text
    assert "always the most frequent cause" in text
    assert summary(run)["agent"].wrong_confirmed == (one.id,)
