"""The chart's admission policy, evaluated: the executor's account may do what the approval names, and no more."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cel
import pytest

from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path
from bot.domain.errors import NotFoundError
from bot.domain.plan import MADE_BY, Create, Delete, Replace, Step, Target
from bot.remediation.active_approval import NAME, announced, named
from bot.remediation.marks import MARK, mark_of, marking
from tests.architecture.test_chart import helm, one, render
from tests.cluster.small_cluster import small_cluster
from tests.remediation.build import plan, target

EXECUTOR = "system:serviceaccount:cnibot:executor"
VALUES = {"admissionPolicy": {"enabled": True, "executor": EXECUTOR}}
CHANGED = Target(
    kind="DaemonSet", path="/x", name="calico-node", namespace="kube-system", uid="u-1", resource_version="7"
)
PLAN = plan(
    marking(CHANGED, "p-0a1b2c3d", 2e9),
    Step(title="roll back", do=Replace(target=CHANGED, field=("spec", "template"), before={"v": 2}, after={"v": 1})),
    Step(title="delete", do=Delete(target=target(kind="Pod", uid="u-2"))),
    Step(title="make", do=Create(target=target(uid=""), manifest={})),
    Step(title="evict", do=Delete(target=target(kind="Pod", uid="u-3"), is_eviction=True)),
)
HELD = mark_of("p-0a1b2c3d", 2e9)
BEFORE: dict[str, Any] = {
    "kind": "DaemonSet",
    "metadata": {
        "name": "calico-node",
        "uid": "u-1",
        "labels": {"k8s-app": "calico-node"},
        "annotations": {"team": "net", MARK: HELD, "deprecated.daemonset.template.generation": "2"},
    },
    "spec": {"template": {"v": 2}, "updateStrategy": {"type": "RollingUpdate"}},
}


def changed(**parts: Any) -> dict[str, Any]:
    """The object with some parts replaced, by their dotted paths with "__"."""
    found = copy.deepcopy(BEFORE)
    for path, value in parts.items():
        *way, last = path.split("__")
        at = found
        for part in way:
            at = at[part]
        if value is None:
            del at[last]
        else:
            at[last] = value
    return found


def annotated(**others: str) -> dict[str, str]:
    return {**BEFORE["metadata"]["annotations"], **others}


class Policy:
    """As an API server evaluates it: conditions, variables in their order, validations."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = spec

    def refusal(self, request: dict[str, Any], *, data: Mapping[str, str] | None = None, **objects: Any) -> str:
        """Why the request is refused, "" when it passes; an expression that fails refuses (`failurePolicy: Fail`)."""
        known: dict[str, Any] = {
            "request": {"subResource": "", "resource": {"resource": "daemonsets"}, "userInfo": {"username": EXECUTOR}}
            | request,
            "object": objects.get("after"),
            "oldObject": objects.get("before"),
            "params": {"data": {"plan": PLAN.id, "digest": PLAN.digest, **named(PLAN)} if data is None else data},
            "variables": {},
        }
        if not all(cel.evaluate(each["expression"], known) for each in self._spec["matchConditions"]):
            return ""
        for variable in self._spec["variables"]:
            known["variables"] = {**known["variables"], variable["name"]: cel.evaluate(variable["expression"], known)}
        for each in self._spec["validations"]:
            if cel.evaluate(each["expression"], known) is not True:
                return each["message"]
        return ""


@pytest.fixture(scope="module")
def policy() -> Policy:
    return Policy(one(render(VALUES), "ValidatingAdmissionPolicy", "cnibot-executor")["spec"])


UPDATE, DELETE, EVICT = (
    {"operation": "UPDATE"},
    {"operation": "DELETE", "resource": {"resource": "pods"}},
    {"operation": "CREATE", "resource": {"resource": "pods"}, "subResource": "eviction"},
)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (changed(metadata__annotations={"team": "net"}), changed()),
        (changed(), changed(spec__template={"v": 1})),
        (
            changed(),
            changed(
                spec__template={"v": 1},
                metadata__annotations=annotated(**{"deprecated.daemonset.template.generation": "3"}),
            ),
        ),
        (changed(), changed(metadata__annotations={"team": "net"})),
    ],
    ids=["takes the mark", "changes the field", "which the API server counts", "takes the mark off"],
)
def test_what_the_plan_names_passes(policy: Policy, before: dict[str, Any], after: dict[str, Any]) -> None:
    assert policy.refusal(UPDATE, before=before, after=after) == ""


@pytest.mark.parametrize(
    ("after", "why"),
    [
        (changed(spec__updateStrategy={"type": "OnDelete"}), "other fields of this object's spec"),
        (changed(spec__updateStrategy=None), "other fields of this object's spec"),
        (changed(spec__more=1), "other fields of this object's spec"),
        (changed(spec=None), "other fields of this object's spec"),
        (changed(data={"a": "b"}), "other parts"),
        (changed(metadata__labels={"k8s-app": "mine"}), "other parts of this object's metadata"),
        (changed(metadata__finalizers=["a/b"]), "other parts of this object's metadata"),
        (changed(metadata__annotations=annotated(team="mine")), "no annotation but their mark"),
        (changed(metadata__annotations={MARK: HELD}), "no annotation but their mark"),
    ],
)
def test_other_parts_of_the_same_object_do_not(policy: Policy, after: dict[str, Any], why: str) -> None:
    assert why in policy.refusal(UPDATE, before=changed(), after=after)


def test_an_object_without_the_plans_mark_is_not_changed(policy: Policy) -> None:
    bare, foreign = (
        changed(metadata__annotations={"team": "net"}),
        changed(metadata__annotations=annotated(**{MARK: mark_of("p-other", 2e9)})),
    )
    for before in (bare, foreign):
        after = copy.deepcopy(before) | {"spec": {**before["spec"], "template": {"v": 1}}}
        assert "does not bear the mark" in policy.refusal(UPDATE, before=before, after=after)


def test_nothing_else_is_touched(policy: Policy) -> None:
    nobody = "does not name this object, or none is"
    other = changed(metadata__uid="u-9")
    assert nobody in policy.refusal(UPDATE, before=other, after=other)
    assert nobody in policy.refusal(UPDATE | {"subResource": "scale"}, before=changed(), after=changed())
    assert nobody in policy.refusal(DELETE, before=other)
    assert nobody in policy.refusal({"operation": "CREATE"}, after=changed())
    assert nobody in policy.refusal({"operation": "CONNECT", "subResource": "exec"}, after={"command": ["sh"]})
    assert nobody in policy.refusal(UPDATE, before=changed(), after=changed(), data={"plan": "p-0a1b2c3d"})


def test_pods_go_as_the_plan_says_and_no_other_way(policy: Policy) -> None:
    deleted, evicted = ({"metadata": {"uid": uid}} for uid in ("u-2", "u-3"))
    eviction = {"deleteOptions": {"preconditions": {"uid": "u-3"}}}

    assert policy.refusal(DELETE, before=deleted) == ""
    assert policy.refusal(EVICT, after=eviction) == ""
    assert "does not delete this object" in policy.refusal(DELETE, before=evicted)
    assert "does not delete this object" in policy.refusal(DELETE, before=changed())
    assert "nor evicts this pod" in policy.refusal(EVICT, after={"deleteOptions": {"preconditions": {"uid": "u-2"}}})
    assert "does not name this object" in policy.refusal(EVICT, after={"metadata": {"name": "web"}})


def test_rehearsals_and_other_accounts_are_none_of_its_business(policy: Policy) -> None:
    other = changed(metadata__uid="u-9")
    somebody = {"userInfo": {"username": "alice"}}

    assert policy.refusal(UPDATE | {"dryRun": True}, before=other, after=other) == ""
    assert policy.refusal(UPDATE | somebody, before=other, after=other) == ""
    assert policy.refusal(UPDATE | {"dryRun": False}, before=other, after=other)


def test_it_is_off_until_asked_for_and_holds_without_an_approval() -> None:
    kinds = {item["kind"] for item in render({})}
    binding = one(render(VALUES), "ValidatingAdmissionPolicyBinding", "cnibot-executor")["spec"]

    assert "ValidatingAdmissionPolicy" not in kinds
    assert binding["validationActions"] == ["Deny"]
    assert binding["paramRef"] == {"name": NAME, "namespace": "cnibot", "parameterNotFoundAction": "Deny"}


@pytest.mark.parametrize(
    ("executor", "why"), [("", "executor"), ("system:serviceaccount:cnibot:cnibot", "is the bot's own account")]
)
def test_an_executor_who_could_approve_for_itself_is_refused(executor: str, why: str) -> None:
    with pytest.raises(helm.HelmError, match=why):
        render({"admissionPolicy": {"enabled": True, "executor": executor}})


def test_what_the_way_back_makes_is_named_too() -> None:
    job = Target(
        kind="Job",
        path="/apis/batch/v1/namespaces/kube-system/jobs/clear-1",
        name="clear-1",
        namespace="kube-system",
        uid="",
        resource_version="",
    )
    back = Step(title="clear", do=Create(target=job, manifest={}), undo="not-needed")

    assert named(plan(back=(back,)))["made.jobs.kube-system.clear-1"] == "made"


def test_what_the_plan_makes_it_may_take_away_again(policy: Policy) -> None:
    made = {"metadata": {"name": "web", "uid": "u-7", "annotations": {MADE_BY: PLAN.id}}}
    make: dict[str, Any] = {"operation": "CREATE", "resource": {"resource": "services"}, "namespace": "shop"}
    take = make | {"operation": "DELETE"}

    assert policy.refusal(make, after=made) == ""
    assert policy.refusal(take, before=made) == ""
    for wrong in ({"namespace": "kube-system"}, {"resource": {"resource": "pods"}}, {"subResource": "token"}):
        assert policy.refusal(make | wrong, after=made)
        assert policy.refusal(take | wrong, before=made)
    unsigned = {"metadata": {"name": "web", "uid": "u-7"}}
    assert policy.refusal(make, after=unsigned)
    assert policy.refusal(take, before=unsigned), "somebody else has made it"


async def test_the_approval_stands_in_the_cluster_while_the_plan_runs(tmp_path: Path) -> None:
    """By an account that has the chart's rights for it and no more; also after a process that was killed."""
    path = api_path("configmaps", namespace="cnibot", name=NAME)
    role = one(render(VALUES), "Role", NAME)["rules"]
    async with small_cluster(tmp_path) as cluster:
        cluster.namespace("cnibot")
        cluster.add("configmaps", NAME, "cnibot", data={"plan": "p-of-the-killed"})
        observer, admin = cluster.kubeconfig("observer", role), cluster.kubeconfig()
        async with Api.connect(observer) as api, Api.connect(admin) as look:
            async with announced(api, PLAN, "cnibot", noticed_s=0.0):
                found = await look.get(path, dict[str, Any])
            with pytest.raises(NotFoundError):
                await look.get(path, dict[str, Any])

    assert found["data"] == {
        "plan": PLAN.id,
        "digest": PLAN.digest,
        "u-1": "metadata.annotations,spec.template",
        "made.services.shop.web": "made",
        "u-2": "delete",
        "u-3": "evict",
    }
