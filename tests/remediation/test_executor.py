"""The executor on a bad day: killed at any point, answered with errors, overtaken by others."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.plan import Delete, NodeReady, Plan, Recheck, Replace, RolledOut, Step, Target
from bot.remediation.executor import Better, Executor
from bot.remediation.progress import End
from tests.remediation.build import NOW, plan
from tests.remediation.memory_cluster import MemoryCluster, MemoryJournal, Obj, to_the_end

PODS, NODES, SERVICES = "/api/v1/namespaces/kube-system/pods", "/api/v1/nodes", "/api/v1/namespaces/shop/services"


def node(name: str = "node-1", *, is_ready: bool = True) -> tuple[str, Obj]:
    conditions = [{"type": "Ready", "status": "True" if is_ready else "False"}]
    obj = {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"}, "spec": {}}
    return f"{NODES}/{name}", obj | {"status": {"conditions": conditions}}


def service(name: str, value: int = 80) -> tuple[str, Obj]:
    metadata = {"name": name, "namespace": "shop", "uid": f"uid-{name}", "resourceVersion": "1"}
    return f"{SERVICES}/{name}", {"metadata": metadata, "spec": {"port": value}}


def pod(name: str = "calico-node-x") -> tuple[str, Obj]:
    metadata = {"name": name, "namespace": "kube-system", "uid": f"uid-{name}", "resourceVersion": "1"}
    return f"{PODS}/{name}", {"metadata": metadata, "spec": {}}


def target(path_and_obj: tuple[str, Obj], kind: str = "Service") -> Target:
    path, obj = path_and_obj
    metadata = obj["metadata"]
    return Target(
        kind=kind,
        path=path,
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        uid=metadata["uid"],
        resource_version="1",
    )


def replace(of: tuple[str, Obj], before: Any, after: Any, field: tuple[str, ...] = ("spec", "port")) -> Replace:
    return Replace(target=target(of), field=field, before=before, after=after)


RECHECK = Step(title="check", do=Recheck(), undo="not-needed")
MARKED = ("metadata", "annotations", "cnibot.io/plan")


def four_steps(*, within_s: float = 0.0, undo: Any = "restore") -> tuple[Plan, MemoryCluster]:
    """Mark a Service, change it, delete a pod, check, take the mark off."""
    web, agent = service("web"), pod()
    mark = replace(web, None, "p-1 until 2027", MARKED)
    steps = (
        Step(title="mark", do=mark),
        Step(title="change", do=replace(web, 80, 8080), within_s=within_s, undo=undo),
        Step(title="delete", do=Delete(target=target(agent, "Pod")), undo="not-needed"),
        RECHECK,
        Step(title="release", do=mark.reversed(), undo="not-needed"),
    )
    return plan(*steps), MemoryCluster(web, agent, node())


async def helped(_: Recheck) -> Better:
    return Better(is_better=True, sentence="9 of 9.")


async def helped_not(_: Recheck) -> Better:
    return Better(is_better=False, sentence="5 of 8 still fail.")


async def unknown(_: Recheck) -> Better:
    return Better(is_better=None, sentence="No node could be inspected.")


class Clock:
    """Time that passes by being looked at: what happens is the same each time."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        self.now += 0.005
        return self.now


async def run(made: Plan, cluster: MemoryCluster, journal: MemoryJournal, *, recheck: Any = helped, **more: Any) -> End:
    async def no() -> bool:
        return False

    async def nothing(_: Step) -> str:
        return ""

    options: dict[str, Any] = {"is_stopping": no, "halt": nothing, "pause_s": 0.0, "unknown_s": 0.1, "now": Clock()}
    return await Executor(made, cluster.writer, journal, recheck=recheck, **(options | more)).run()


def port(cluster: MemoryCluster) -> int:
    return cluster.objects[f"{SERVICES}/web"]["spec"]["port"]


def mark(cluster: MemoryCluster) -> str | None:
    return cluster.objects[f"{SERVICES}/web"]["metadata"].get("annotations", {}).get("cnibot.io/plan")


async def test_a_plan_is_carried_out_step_by_step() -> None:
    made, cluster = four_steps()
    journal = MemoryJournal()

    ended = await run(made, cluster, journal)

    assert ended == End("verified", "9 of 9.")
    assert (port(cluster), mark(cluster)) == (8080, None)
    assert [what for what, _ in cluster.landed] == ["patch", "patch", "delete", "patch"]
    assert [line.event for line in journal.lines] == ["begun", "written", "verified"] * 5


async def test_probes_that_find_nothing_better_turn_it_back() -> None:
    made, cluster = four_steps()

    ended = await run(made, cluster, MemoryJournal(), recheck=helped_not)

    assert ended.outcome == "undone"
    assert "5 of 8 still fail" in ended.why
    assert (port(cluster), mark(cluster)) == (80, None)


async def test_a_rollback_that_did_not_help_is_left_to_a_person_and_stays_marked() -> None:
    made, cluster = four_steps(undo="person")

    ended = await run(made, cluster, MemoryJournal(), recheck=helped_not)

    assert ended.outcome == "halted"
    assert (port(cluster), mark(cluster)) == (8080, "p-1 until 2027")


async def test_probes_that_cannot_tell_undo_nothing() -> None:
    made, cluster = four_steps()

    ended = await run(made, cluster, MemoryJournal(), recheck=unknown)

    assert ended.outcome == "halted"
    assert "No node could be inspected" in ended.why
    assert port(cluster) == 8080


async def test_what_somebody_else_changed_meanwhile_is_not_touched() -> None:
    made, cluster = four_steps()
    cluster.store(*service("web", 9090))

    ended = await run(made, cluster, MemoryJournal())

    assert ended.outcome == "undone"
    assert "was changed by somebody else" in ended.why
    assert (port(cluster), mark(cluster)) == (9090, None)
    assert pod()[0] in cluster.objects


async def test_a_guard_that_does_not_hold_keeps_the_first_step_from_beginning() -> None:
    made, cluster = four_steps()
    guarded = Step(title="mark", do=made.steps[0].do, guards=(NodeReady(node="node-1"),))
    cluster.objects.update([node(is_ready=False)])

    ended = await run(plan(guarded, *made.steps[1:]), cluster, MemoryJournal())

    assert ended == End("stale", "step 1, mark: node node-1 is not Ready")
    assert cluster.landed == []


async def test_the_kill_switch_stops_it_between_two_steps_and_turns_it_back() -> None:
    made, cluster = four_steps()

    async def thrown(_: Step) -> str:
        return "U0BOB stopped all changes." if port(cluster) == 8080 else ""

    ended = await run(made, cluster, MemoryJournal(), halt=thrown)

    assert ended.outcome == "undone"
    assert (port(cluster), mark(cluster)) == (80, None)
    assert pod()[0] in cluster.objects


async def test_what_does_not_come_about_in_time_turns_back() -> None:
    made, cluster = four_steps()
    never = Step(title="change", do=made.steps[1].do, verify=(RolledOut(target=target(service("web"))),), within_s=0.0)
    web = cluster.objects[f"{SERVICES}/web"]
    web["metadata"]["generation"] = 2

    ended = await run(plan(made.steps[0], never), cluster, MemoryJournal())

    assert ended.outcome == "halted", "its undo is not confirmed either"
    assert "the controller has not seen the change" in ended.why
    assert port(cluster) == 80


@pytest.mark.parametrize("trouble", ["before", "after", "conflict"])
async def test_a_write_whose_end_is_not_known_is_looked_at(trouble: str) -> None:
    made, cluster = four_steps()
    hits = iter([True])
    cluster.trouble = lambda when: trouble if trouble in when and next(hits, False) else ""

    ended = await run(made, cluster, MemoryJournal())

    assert ended.outcome == "verified"
    assert [what for what, _ in cluster.landed] == ["patch", "patch", "delete", "patch"], "each landed once"


async def test_an_api_server_that_never_tells_asks_for_a_person() -> None:
    made, cluster = four_steps()
    cluster.trouble = lambda when: "before" if "before" in when and len(cluster.landed) == 1 else ""

    ended = await run(made, cluster, MemoryJournal())

    assert ended.outcome == "halted"
    assert "did not confirm the result" in ended.why


class Days:
    """Trouble drawn anew at each fault point: before and after every write, to the cluster and to the journal."""

    def __init__(self, data: st.DataObject, most_kills: int) -> None:
        self.data = data
        self.kills = most_kills

    def of_cluster(self, _: str) -> str:
        return self._drawn(("", "", "", "killed", "before", "after", "conflict"))

    def of_journal(self, _: str) -> str:
        return self._drawn(("", "", "killed"))

    def _drawn(self, kinds: tuple[str, ...]) -> str:
        kind = self.data.draw(st.sampled_from(kinds))
        if kind:
            self.kills -= 1
        return kind if self.kills >= 0 else ""


@settings(max_examples=200)
@given(st.data(), st.sampled_from((helped, helped_not)), st.sampled_from(("restore", "person")))
def test_killed_at_any_point_it_ends_and_lands_each_step_once(data: st.DataObject, recheck: Any, undo: Any) -> None:
    made, cluster = four_steps(undo=undo)
    journal, days = MemoryJournal(), Days(data, most_kills=6)
    cluster.trouble, journal.trouble = days.of_cluster, days.of_journal

    ended = asyncio.run(to_the_end(lambda: run(made, cluster, journal, recheck=recheck), journal))

    states = {(line.step, line.way): line.event for line in journal.lines if line.event != "turned"}
    landed = [each for each in cluster.landed if each[0] == "patch"]
    assert len([each for each in cluster.landed if each[0] == "delete"]) <= 1
    match ended.outcome:
        case "verified":
            assert (port(cluster), mark(cluster), len(landed)) == (8080, None, 3)
        case "undone":
            assert (port(cluster), mark(cluster)) == (80, None)
            assert len(landed) in {2, 4}, "what was done was undone once"
        case "halted":
            assert undo == "person" or "lost" in states.values() or "refused" in states.values()
        case _:
            assert not cluster.landed
