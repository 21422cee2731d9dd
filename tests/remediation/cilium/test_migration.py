"""A plan that migrates to Cilium, as it is approved: what comes after what, there and back."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from msgspec.structs import replace as changed

from bot.domain.plan import AddressesWithin, Baseline, CiliumOn, Evict, Plan, Recheck, Restart, Step
from bot.domain.plan_journal import JournalEntry
from bot.domain.plan_life import PlanRecord
from bot.remediation.actions.draft import Circumstances, NotPlannedError, plan_of
from bot.remediation.actions.install_cilium import InstallInputs
from bot.remediation.actions.migrate_to_cilium import migrate_to_cilium
from bot.remediation.cilium.chart import Rendered, render
from bot.remediation.cilium.observed import AgentAnswer, addresses_within, cilium_on
from bot.remediation.cilium.seen import Seen
from bot.remediation.cilium.values import BESIDE_PORT, CiliumValues, beside_values
from bot.remediation.progress import End, TurnBack, Write, milestones, next_move
from bot.render.plans import milestones_shown, plan_shell, plan_text
from tests.remediation.build import ALICE, NOW
from tests.remediation.cilium.supplies import vendored
from tests.remediation.cilium.test_preflight import FLANNEL, HOST, WELL, named, node

VALUES = CiliumValues(pod_range="10.245.0.0/16", tunnel_port=BESIDE_PORT)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    chart = vendored(tmp_path_factory.mktemp("chart"))
    return asyncio.run(render(chart, beside_values(VALUES, 3), kubernetes="v1.36.2"))


def identified(obj: Any) -> Any:
    metadata = {"uid": f"uid-{obj['metadata']['name']}", "resourceVersion": "1", **obj["metadata"]}
    return {**obj, "metadata": metadata}


def control_plane(one: Any) -> Any:
    return {**one, "metadata": {**one["metadata"], "labels": {"node-role.kubernetes.io/control-plane": ""}}}


FLANNELS = replace(
    WELL, nodes=[identified(control_plane(node(1))), identified(node(2)), identified(node(3))],
    daemon_sets=[identified(FLANNEL)], ip_pools=[],
    hosts=dict.fromkeys(("node-1", "node-2", "node-3"), replace(HOST, tunnels=(("flannel.1", 8472),))),
)  # fmt: skip


def planned(rendered: Rendered, seen: Seen = FLANNELS, values: CiliumValues = VALUES) -> Plan:
    namespace = identified(named("kube-system"))
    inputs = InstallInputs(seen=seen, rendered=rendered, namespace=namespace, image="cnibot:1")
    given = Circumstances(
        id="p-0a1b2c3d", cluster="lab", namespace="kube-system", requester=ALICE, now=NOW, expiry_s=900,
        program="0", baseline=Baseline(),
    )  # fmt: skip
    return plan_of(migrate_to_cilium(values, inputs, soak_s=600), given)


def titles(steps: tuple[Step, ...], about: str) -> list[str]:
    return [one.title for one in steps if about in one.title]


def test_a_node_is_emptied_before_its_configuration_changes(rendered: Rendered) -> None:
    assert titles(planned(rendered).steps, "node-2")[1:] == [
        "cordon node-2",
        "node-2: evict all pods but those of DaemonSets",
        "select node-2 for Cilium",
        "let Cilium take node-2 over: restart its agent",
        "start a test pod on node-2",
        "node-2: recreate what still has an address of the old CNI",
        "let every test pod reach every other one, with node-2 migrated",
        "uncordon node-2",
        "restart Cilium's agent on node-2",
    ]


def test_a_node_is_emptied_before_its_configuration_changes_back(rendered: Rendered) -> None:
    assert titles(planned(rendered).back, "node-2")[1:] == [
        "cordon node-2",
        "node-2: evict all pods but those of DaemonSets",
        "select node-2 no longer",
        "let Cilium leave node-2 alone: restart its agent",
        "put the old CNI's configuration back on node-2",
        "start a test pod on node-2",
        "node-2: recreate what still has an address of Cilium's",
        "uncordon node-2",
    ]


def test_the_control_plane_is_last_there_and_first_back(rendered: Rendered) -> None:
    plan = planned(rendered)

    assert titles(plan.steps, "select ") == [f"select node-{one} for Cilium" for one in (3, 2, 1)]
    assert titles(plan.back, "select node") == [f"select node-{one} no longer" for one in (1, 2, 3)]
    assert plan.risk == "r3"


def test_each_step_back_is_for_a_step_that_comes_first(rendered: Rendered) -> None:
    plan = planned(rendered)

    for step in plan.back:
        assert step.reverts is not None
        assert 0 <= step.reverts < len(plan.steps)
    for title, cause in (
        ("select node-3 no longer", "select node-3 for Cilium"),
        ("put the old CNI's configuration back on node-3", "select node-3 for Cilium"),
        ("remove DaemonSet kube-system/cilium", "make DaemonSet kube-system/cilium"),
    ):
        (step,) = [one for one in plan.back if one.title == title]
        assert step.reverts is not None
        assert plan.steps[step.reverts].title == cause


def test_all_nodes_are_checked_before_anything_is_installed_and_around_each_node(rendered: Rendered) -> None:
    plan = planned(rendered)

    checks = [number for number, one in enumerate(plan.steps) if isinstance(one.do, Recheck)]
    installed = next(
        number for number, one in enumerate(plan.steps) if one.title == "make DaemonSet kube-system/cilium"
    )
    assert checks[0] < installed
    assert len(checks) == 1 + 1 + 2 * 3 + 1 + 1
    assert {one.do.after_s for one in plan.steps if isinstance(one.do, Recheck)} == {0.0, 600.0}
    assert all(one.milestone == "Finalised" for one in plan.steps[checks[-2] : checks[-2] + 1])


def test_policies_are_enforced_only_when_no_address_is_the_old_ones(rendered: Rendered) -> None:
    (final,) = [one for one in planned(rendered).steps if one.title.startswith("let Cilium enforce policies")]

    assert [one.pod_range for one in final.guards if isinstance(one, AddressesWithin)] == ["10.245.0.0/16"]
    assert getattr(final.do, "made_by", "") == "p-0a1b2c3d"


def test_milestones_are_read_from_the_journal_alone(rendered: Rendered) -> None:
    plan = planned(rendered)
    number = {one.milestone: each for each, one in enumerate(plan.steps) if one.milestone}

    def line(step: int, event: Any, way: Any = "do") -> JournalEntry:
        return JournalEntry(at=NOW + step, fence=1, step=step, way=way, event=event)

    journal = [line(number[one], "verified") for one in ("Prepared", "MTUReady", "Installed", "NodesMigrated node-2")]
    reached = [one.name for one in milestones(plan, journal) if one.is_reached]
    assert reached == ["Prepared", "MTUReady", "Installed", "NodesMigrated node-2"]

    back = next(each for each, one in enumerate(plan.back) if one.milestone == "NodesMigrated node-2")
    turned = [*journal, line(back, "begun", "undo")]
    assert [one.name for one in milestones(plan, turned) if one.is_reached] == ["Prepared", "MTUReady", "Installed"]


@pytest.mark.parametrize(
    ("seen", "values", "says"),
    [
        (FLANNELS, changed(VALUES, pod_range="10.42.0.0/16"), "two pods may share one until the last old pod is gone"),
        (FLANNELS, changed(VALUES, tunnel_port=8472), "P05: tunnelPort 8472 is flannel's"),
        (replace(FLANNELS, hosts={}), VALUES, "P05: Not inspected: node-1, node-2, node-3"),
        (
            replace(FLANNELS, hosts=dict.fromkeys(FLANNELS.hosts, replace(HOST, pod_mtu=1500))),
            VALUES,
            "P16: Pods' devices have an MTU of 1500, and Cilium's will have 1450",
        ),
    ],
)
def test_what_would_break_is_not_planned(rendered: Rendered, seen: Seen, values: CiliumValues, says: str) -> None:
    with pytest.raises(NotPlannedError) as refused:
        planned(rendered, seen, values)

    assert says in str(refused.value)


def test_a_node_that_somebody_has_cordoned_is_his(rendered: Rendered) -> None:
    nodes = [identified({**node(1), "spec": {"unschedulable": True}}), identified(node(2)), identified(node(3))]

    with pytest.raises(NotPlannedError, match=r"node-1: cordoned\."):
        planned(rendered, replace(FLANNELS, nodes=nodes))


def test_restarts_and_evictions_name_their_objects(rendered: Rendered) -> None:
    plan = planned(rendered)

    restarts = [one.do for one in plan.steps if isinstance(one.do, Restart)]
    assert [one.node for one in restarts] == ["node-3", "node-2", "node-1"] * 2
    evicted = [(one.do.target.name, one.do.which) for one in plan.steps if isinstance(one.do, Evict)]
    assert evicted == [(name, which) for name in ("node-3", "node-2", "node-1") for which in ("moving", "old")]


TAKEN = CiliumOn(node="node-2", manages=True, configures=True)
LEFT = CiliumOn(node="node-2", manages=False, configures=False)
OK = AgentAnswer(state="Ok", files=("05-cilium.conflist", "10-flannel.conflist.cilium_bak"), is_tunnel_up=True)
OFF = AgentAnswer(state="Disabled", files=("10-flannel.conflist",), is_tunnel_up=True)


@pytest.mark.parametrize(
    ("wanted", "said", "why"),
    [
        (TAKEN, OK, ""),
        (LEFT, OFF, ""),
        (TAKEN, OFF, "Cilium's agent on node-2 does not keep the CNI configuration (Disabled)"),
        (LEFT, OK, "Cilium's agent on node-2 still keeps the CNI configuration (Ok)"),
        (TAKEN, replace(OK, is_tunnel_up=False), "cilium_vxlan on node-2 is down"),
        (
            TAKEN,
            replace(OK, files=("05-cilium.conflist", "10-flannel.conflist")),
            "the CNI configuration on node-2 is 05-cilium.conflist, 10-flannel.conflist",
        ),
        (LEFT, replace(OFF, files=("05-cilium.conflist",)), "the CNI configuration on node-2 is 05-cilium.conflist"),
        (LEFT, replace(OFF, files=("10-flannel.conflist.cilium_bak",)), "the CNI configuration on node-2 is not there"),
        (TAKEN, AgentAnswer(why="no agent of Cilium's runs on node-2"), "no agent of Cilium's runs on node-2"),
    ],
)
def test_an_agent_tells_and_its_files_and_its_tunnel_do(wanted: CiliumOn, said: AgentAnswer, why: str) -> None:
    held = cilium_on(wanted, said)

    assert (held.is_so, "" if held.is_so else held.why) == (not why, why)


def test_a_pod_with_an_old_address_is_named() -> None:
    pods = [
        {"metadata": {"name": name, "namespace": "shop"}, "spec": {}, "status": {"phase": "Running", "podIP": ip}}
        for name, ip in (("a", "10.245.0.9"), ("b", "10.42.1.9"), ("c", ""))
    ]

    assert addresses_within(pods, "10.245.0.0/16").why == "shop/b still have addresses of the old CNI"
    assert addresses_within(pods[:1], "10.245.0.0/16").is_so


def undone_after(plan: Plan, title: str, event: Any = "failed") -> list[str]:
    """What is done on the way back when this step was the last, and came to that."""
    number = next(each for each, one in enumerate(plan.steps) if one.title == title)

    def line(step: int, what: Any, way: Any = "do") -> JournalEntry:
        return JournalEntry(at=NOW, fence=1, step=step, way=way, event=what)

    journal = [line(each, "verified") for each in range(number)] + [line(number, event)]
    done: list[str] = []
    while not isinstance(move := next_move(plan, journal), End):
        if isinstance(move, TurnBack):
            journal.append(line(move.step, "turned"))
        else:
            assert isinstance(move, Write)
            done.append(plan.back[move.step].title)
            journal.append(line(move.step, "verified", "undo"))
    assert move.outcome == "undone"
    return done


def test_while_nothing_is_selected_only_what_was_made_goes(rendered: Rendered) -> None:
    back = undone_after(planned(rendered), "make DaemonSet kube-system/cilium")

    assert not [one for one in back if "node-" in one]
    assert back[:3] == [
        "make the namespace cnibot-test-pods",
        "remove DaemonSet kube-system/cilium",
        "remove Namespace cnibot-test-pods",
    ]
    assert "remove Deployment kube-system/cilium-operator" not in back, "it was not made yet"
    assert "remove ConfigMap kube-system/cilium-config" in back


def test_a_node_whose_pods_may_not_go_is_only_uncordoned(rendered: Rendered) -> None:
    back = undone_after(planned(rendered), "node-3: evict all pods but those of DaemonSets", "refused")

    assert [one for one in back if "node-3" in one] == ["start a test pod on node-3", "uncordon node-3"]
    assert "remove DaemonSet kube-system/cilium" in back


def test_a_node_that_may_not_be_begun_leaves_only_those_before_it_to_be_undone(rendered: Rendered) -> None:
    back = undone_after(planned(rendered), "cordon node-2", "refused")

    assert not [one for one in back if "node-2" in one or "node-1" in one]
    assert "put the old CNI's configuration back on node-3" in back


def test_the_node_at_fault_is_undone_first_and_cilium_goes_when_all_are_well(rendered: Rendered) -> None:
    back = undone_after(planned(rendered), "let every test pod reach every other one, with node-2 migrated")

    order = [
        "put the old CNI's configuration back on node-2",
        "uncordon node-2",
        "cordon node-3",
        "put the old CNI's configuration back on node-3",
        "uncordon node-3",
        "let every test pod reach every other one, with the old CNI alone",
        "remove CiliumNodeConfig kube-system/cilium-default",
        "remove DaemonSet kube-system/cilium",
    ]
    assert [one for one in back if one in order] == order
    assert "cordon node-2" not in back, "it was not uncordoned yet"


def test_what_was_final_is_taken_back_before_any_node(rendered: Rendered) -> None:
    back = undone_after(planned(rendered), "let every test pod reach every other one, with Cilium alone")

    assert back[1] == "let Cilium enforce no policies, and keep selected nodes only"
    assert back[2:5] == [f"restart Cilium's agent on node-{one}" for one in (3, 2, 1)]
    assert [one for one in back if one.startswith("select")] == [f"select node-{one} no longer" for one in (1, 2, 3)]


def test_as_commands_it_drains_and_names_no_pod_by_its_address(rendered: Rendered) -> None:
    shell = plan_shell(planned(rendered))

    assert "kubectl drain node-3 --ignore-daemonsets --delete-emptydir-data --timeout=900s" in shell
    restart = (
        "kubectl delete pods --namespace=kube-system --field-selector=spec.nodeName=node-3 --selector=k8s-app=cilium"
    )
    assert restart in shell
    assert "# node-3: recreate what still has an address of the old CNI: review the list, then delete those" in shell


def test_how_far_it_has_come_is_one_line(rendered: Rendered) -> None:
    plan = planned(rendered)
    names = ("Prepared", "MTUReady", "Installed", "NodesMigrated node-3")
    journal = [
        JournalEntry(at=NOW, fence=1, step=number, way="do", event="verified")
        for number, one in enumerate(plan.steps)
        if one.milestone in names
    ]

    reached = "Prepared ✓ · MTUReady ✓ · Installed ✓ · NodesMigrated 1 of 3 · Finalised no"
    assert milestones_shown(plan, journal) == reached
    assert reached in plan_text(PlanRecord(plan=plan, state="running"), journal)
