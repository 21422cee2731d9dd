"""Plans that make objects: each is made once, and nobody else's object is touched, there and back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.domain.plan import MADE_BY, Create, Gone, Plan, Remove, Step, Target
from bot.remediation.progress import End
from tests.remediation.build import plan
from tests.remediation.memory_cluster import MemoryCluster, MemoryJournal, to_the_end
from tests.remediation.test_executor import RECHECK, Days, helped, helped_not, node, run

MAPS = "/api/v1/namespaces/kube-system/configmaps"


def making(name: str) -> Create:
    target = Target(
        kind="ConfigMap",
        path=f"{MAPS}/{name}",
        name=name,
        namespace="kube-system",
        uid="",
        resource_version="",
    )
    metadata = {"name": name, "namespace": "kube-system", "annotations": {MADE_BY: "p-0a1b2c3d"}}
    return Create(target=target, manifest={"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})


def removing(name: str, reverts: int | None = None) -> Step:
    made = making(name)
    gone = (Gone(target=made.target),)
    return Step(title=f"remove {name}", do=made.reversed(), verify=gone, undo="not-needed", reverts=reverts)


BACK = (removing("b", 1), removing("a", 0))


def two_objects(**changes: Any) -> tuple[Plan, MemoryCluster]:
    steps = (Step(title="make a", do=making("a")), Step(title="make b", do=making("b")), RECHECK)
    return plan(*steps, **changes), MemoryCluster(node())


def made_names(cluster: MemoryCluster) -> set[str]:
    return {path.rpartition("/")[2] for path in cluster.objects if path.startswith(MAPS)}


async def test_objects_are_made_as_the_plan_holds_them() -> None:
    made, cluster = two_objects()

    ended = await run(made, cluster, MemoryJournal())

    assert ended == End("verified", "9 of 9.")
    assert cluster.landed == [("create", f"{MAPS}/a"), ("create", f"{MAPS}/b")]


async def test_without_a_way_back_of_its_own_they_are_removed_last_made_first() -> None:
    made, cluster = two_objects()

    ended = await run(made, cluster, MemoryJournal(), recheck=helped_not)

    assert ended.outcome == "undone"
    assert cluster.landed[2:] == [("delete", f"{MAPS}/b"), ("delete", f"{MAPS}/a")]


async def test_its_own_way_back_is_gone_in_its_own_order() -> None:
    made, cluster = two_objects(back=(removing("a", 0), removing("b", 1)))

    ended = await run(made, cluster, MemoryJournal(), recheck=helped_not)

    assert ended.outcome == "undone"
    assert cluster.landed[2:] == [("delete", f"{MAPS}/a"), ("delete", f"{MAPS}/b")]


async def test_what_was_not_begun_needs_no_way_back() -> None:
    made, cluster = two_objects(back=(Step(title="make c", do=making("c"), reverts=1), removing("a", 0)))
    theirs = {"metadata": {"name": "b", "uid": "theirs", "resourceVersion": "1"}}
    cluster.objects[f"{MAPS}/b"] = theirs

    ended = await run(made, cluster, MemoryJournal())

    assert ended.outcome == "undone"
    assert "ConfigMap kube-system/b exists, and this plan did not make it" in ended.why
    assert cluster.landed == [("create", f"{MAPS}/a"), ("delete", f"{MAPS}/a")]
    assert cluster.objects[f"{MAPS}/b"] == theirs


async def test_what_somebody_else_made_meanwhile_under_the_name_is_not_removed() -> None:
    made, cluster = two_objects()

    async def replaced_by_somebody(_: object) -> Any:
        cluster.objects[f"{MAPS}/b"] = {"metadata": {"name": "b", "uid": "theirs", "resourceVersion": "1"}}
        return await helped_not(RECHECK.do)  # pyright: ignore[reportArgumentType]

    ended = await run(made, cluster, MemoryJournal(), recheck=replaced_by_somebody)

    assert ended.outcome == "halted"
    assert "this plan did not make it" in ended.why
    assert made_names(cluster) == {"a", "b"}


@settings(max_examples=100)
@given(st.data(), st.sampled_from((helped, helped_not)), st.sampled_from(((), BACK)))
def test_killed_at_any_point_everything_is_made_once_or_gone(data: st.DataObject, recheck: Any, back: Any) -> None:
    made, cluster = two_objects(back=back)
    journal, days = MemoryJournal(), Days(data, most_kills=6)
    cluster.trouble, journal.trouble = days.of_cluster, days.of_journal

    ended = asyncio.run(to_the_end(lambda: run(made, cluster, journal, recheck=recheck), journal))

    assert len(set(cluster.landed)) == len(cluster.landed), "nothing lands twice"
    match ended.outcome:
        case "verified":
            assert made_names(cluster) == {"a", "b"}
        case "undone":
            assert made_names(cluster) == set()
        case "halted":
            assert {"lost", "refused"} & {line.event for line in journal.lines}
        case _:
            assert not cluster.landed


def test_only_what_this_plan_made_is_removed() -> None:
    assert making("a").reversed() == Remove(target=making("a").target, made_by="p-0a1b2c3d")


@pytest.mark.parametrize("back", [(), BACK])
async def test_somebody_who_stops_it_in_the_middle_gets_everything_undone(back: tuple[Step, ...]) -> None:
    made, cluster = two_objects(back=back)

    async def after_the_first() -> bool:
        return bool(cluster.landed)

    ended = await run(made, cluster, MemoryJournal(), is_stopping=after_the_first)

    assert ended == End("undone", "somebody asked to stop")
    assert made_names(cluster) == set()
