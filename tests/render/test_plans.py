"""A plan as text and as commands: whole, or cut and saying so; and nothing in it becomes a command of its own."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.plan import Create, Delete, Plan, Recheck, Remove, Replace, Replaced, RolledOut, Step, Target
from bot.domain.plan_life import PlanRecord
from bot.remediation.differences import value_shown
from bot.render.plans import commands, plan_ansible, plan_shell, plan_text
from tests.remediation.build import plan, target

DAEMON_SET = Target(
    kind="DaemonSet",
    path="/apis/apps/v1/namespaces/kube-system/daemonsets/calico-node",
    name="calico-node",
    namespace="kube-system",
    uid="uid-ds",
    resource_version="5",
)
POD = target("calico-node-x", kind="Pod", uid="uid-pod", namespace="kube-system")


def example(value: Any = "new", title: str = "correct web") -> Plan:
    mark = Replace(target=target(), field=("metadata", "annotations", "cnibot.io/plan"), before=None, after="p-1")
    return plan(
        Step(title="mark", do=mark),
        Step(title=title, do=Replace(target=target(), field=("spec", "x"), before="old", after=value)),
        Step(title="restart", do=Delete(target=POD), verify=(Replaced(owner=DAEMON_SET, uid="uid-pod"),)),
        Step(title="check", do=Recheck()),
        Step(
            title="roll",
            do=Replace(target=DAEMON_SET, field=("spec", "template"), before={"a": 1}, after={"a": 2}),
            verify=(RolledOut(target=DAEMON_SET),),
        ),
    )


def test_the_text_names_each_object_field_and_way_back() -> None:
    text = plan_text(PlanRecord(plan=example()))

    assert "WAITING FOR APPROVAL: change web-1 on lab" in text
    assert "spec.x: old → new" in text
    assert "DELETE /api/v1/namespaces/kube-system/services/calico-node-x (only if its uid is still uid-pod)" in text
    assert "undo: the former value is restored" in text
    assert example().digest in text


NEW = Target(
    kind="ConfigMap",
    path="/api/v1/namespaces/kube-system/configmaps/c",
    name="c",
    namespace="kube-system",
    uid="",
    resource_version="",
)
MANIFEST = {
    "kind": "ConfigMap",
    "metadata": {"name": "c"},
    "data": {"range": "10.0.0.0/8"},
    "spec": {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y", "args": ["1", "2"]}]},
}


def making() -> Plan:
    back = Step(title="remove c", do=Remove(target=NEW, made_by="p-0a1b2c3d"), undo="not-needed")
    return plan(Step(title="make c", do=Create(target=NEW, manifest=MANIFEST)), back=(back,))


def test_what_is_made_is_shown_field_by_field_and_the_way_back_by_itself() -> None:
    text = plan_text(PlanRecord(plan=making()))

    assert (
        "POST /api/v1/namespaces/kube-system/configmaps (only if there is no ConfigMap kube-system/c; 6 fields)" in text
    )
    assert "data.range: 10.0.0.0/8" in text
    assert 'spec.containers[b].args: ["1","2"]' in text
    assert "DELETE /api/v1/namespaces/kube-system/configmaps/c (only if plan p-0a1b2c3d made it)" in text
    assert text.index("the way back") < text.index("remove c")


def test_what_is_made_is_given_to_kubectl_whole() -> None:
    (command,) = commands(making())

    assert command.argv == ("kubectl", "create", "--filename=-")
    assert yaml.safe_load(command.given) == MANIFEST


def test_a_long_value_is_cut_where_everybody_sees_it() -> None:
    shown = value_shown("x" * 5000 + "; rm -rf /")

    assert len(shown) < 450
    assert "[CUT: 5010 characters" in shown


def test_secrets_are_struck_out() -> None:
    def template(password: str) -> Any:
        return {"containers": [{"name": "c", "env": [{"name": "DB_PASSWORD", "value": password}]}]}

    do = Replace(target=DAEMON_SET, field=("spec", "template"), before=template("hunter1"), after=template("hunter2"))
    text = plan_text(PlanRecord(plan=plan(Step(title="roll", do=do))))

    assert "spec.template.containers[c].env[DB_PASSWORD].value" in text
    assert "hunter" not in text


def test_the_commands_check_before_they_change() -> None:
    patch, delete, wait, _, roll = commands(example())

    assert patch.argv[:4] == ("kubectl", "patch", "service", "web")
    assert (
        patch.argv[-1] == '[{"op":"test","path":"/spec/x","value":"old"},{"op":"add","path":"/spec/x","value":"new"}]'
    )
    assert delete.check[-1] == "--output=jsonpath={.metadata.uid}"
    assert delete.expects == "uid-pod"
    assert wait.argv[:4] == roll.argv[:4] == ("kubectl", "rollout", "status", "daemonset/calico-node")


HOSTILE = st.text(max_size=40) | st.sampled_from(
    ("'; touch pwned; '", "$(touch pwned)", "`touch pwned`", "\ntouch pwned\n", "{{ lookup('pipe', 'touch pwned') }}")
)


@given(HOSTILE, HOSTILE)
def test_no_text_of_a_plan_becomes_a_command(value: str, title: str) -> None:
    script = plan_shell(example(value, title))
    stub = 'kubectl() { if [ "$1" = get ]; then printf uid-pod; else printf \'%s\\n\' "$1 $2 $3"; fi; }\n'
    done = subprocess.run(["sh", "-c", stub + script], capture_output=True, text=True, check=False, cwd="/proc/self")

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "patch service web",
        "delete pod calico-node-x",
        "rollout status daemonset/calico-node",
        "patch daemonset calico-node",
        "rollout status daemonset/calico-node",
    ]


class _Loader(yaml.SafeLoader):
    """YAML with Ansible's tag for values that are no templates."""


def _unsafe(loader: _Loader, node: yaml.ScalarNode) -> tuple[str, str]:
    return "unsafe", str(loader.construct_scalar(node))


_Loader.add_constructor("!unsafe", _unsafe)


@given(HOSTILE, HOSTILE)
def test_braces_are_no_templates_for_ansible(value: str, title: str) -> None:
    (play,) = yaml.load(plan_ansible(example(value, title)), Loader=_Loader)  # noqa: S506 a safe loader of ours

    for task in play["tasks"]:
        assert "{{" not in task["name"]
        for word in task["ansible.builtin.command"]["argv"]:
            assert not (isinstance(word, str) and ("{{" in word or "{%" in word))


@pytest.mark.parametrize("form", [plan_shell, plan_ansible])
def test_both_forms_hold_every_command(form: Any) -> None:
    text = form(example())

    assert [text.count(word) for word in ("delete", "/spec/x")] >= [1, 2]
