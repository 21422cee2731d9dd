"""A plan for people: as text, and as commands for those who would rather run it themselves."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from bot.cluster.client.api import eviction
from bot.domain.errors import bounded
from bot.domain.listing import and_more
from bot.domain.plan import (
    Action,
    AddressesWithin,
    Change,
    CiliumFits,
    CiliumNodes,
    CiliumOn,
    Condition,
    Create,
    Delete,
    Evict,
    Gone,
    HelmRollback,
    JobDone,
    NewTemplate,
    NodeReady,
    NodesReady,
    NotMarked,
    OperatorSettled,
    OthersReady,
    Plan,
    PodsGone,
    Recheck,
    Remove,
    Replace,
    Replaced,
    Restart,
    RolledOut,
    Step,
    TestPods,
    Way,
)
from bot.domain.plan_journal import JournalEntry
from bot.domain.plan_life import PlanRecord
from bot.domain.redact import redact
from bot.remediation.differences import MOST_CHARACTERS, differences, field_shown, leaves
from bot.remediation.progress import milestones

SIGNS = {
    "waiting": "⏳ WAITING FOR APPROVAL",
    "approved": "✅ APPROVED",
    "running": "▶️ RUNNING",
    "verified": "🟢 VERIFIED",
    "undone": "↩️ UNDONE",
    "halted": "🔴 HALF DONE",
    "refused": "🚫 REFUSED",
    "expired": "⌛ EXPIRED",
    "superseded": "🔁 REPLACED",
    "stale": "⚠️ NOT RUN",
    "checked": "🔎 CHECKED, NOT RUN",
    "aborted": "⏹️ ABORTED",
}
RISKS = {
    "r0": "none",
    "r1": "one pod or one Service",
    "r2": "one node at a time",
    "r3": "the whole cluster",
}


_EVICTED = {
    "moving": "every pod with an address of the CNI's, but for those of DaemonSets,",
    "old": "every pod whose address is not of {}",
    "new": "every pod whose address is of {}",
}


def exactly(do: Action) -> Iterator[str]:  # noqa: C901 one for each kind
    """What is done to which object, in the API's terms."""
    match do:
        case Recheck():
            yield "reads only"
        case Delete(target=target):
            if do.is_eviction:
                yield f"POST {target.path}/eviction (only if its uid is still {target.uid} and its budgets allow it)"
            else:
                yield f"DELETE {target.path} (only if its uid is still {target.uid})"
        case Create(target=target, manifest=manifest):
            fields = [*leaves(manifest)]
            yield f"POST {target.path.rpartition('/')[0]} (only if there is no {target}; {len(fields)} fields)"
            yield from (f"  {where}: {field_shown(where, value)}" for where, value in fields)
        case Remove(target=target, made_by=made_by):
            yield f"DELETE {target.path} (only if plan {made_by} made it)"
        case Restart(target=target, node=node):
            yield f"DELETE the one pod of {target} on {node} (only if its uid is still what the journal says)"
        case Evict(target=target):
            yield f"POST …/eviction of {_EVICTED[do.which].format(do.pod_range)} on {target.name} (as budgets allow)"
        case HelmRollback(release=release, present=present, chosen=chosen):
            yield f"{shlex.join(_helm(do))} (only if both revisions are as below, and {present.number} is the newest)"
            for one in (present, chosen):
                yield f"  revision {one.number}: {bounded(one.chart, 120)}, payload {one.payload}"
            yield f"  it becomes revision {present.number + 1} of {release}, and Helm asks of the API server:"
            yield from (f"  {method} {path}" for method, path in do.requests)
        case Replace(target=target, field=field):
            whose = f"made by plan {do.made_by}" if do.made_by else f"uid {target.uid}"
            yield f"PATCH {target.path} ({whose}; only if {'.'.join(field)} is still as below)"
            for where, before, after in differences(do.before, do.after, ".".join(field)):
                yield f"  {where}: {field_shown(where, before)} → {field_shown(where, after)}"


def condition_shown(  # noqa: C901, PLR0911, PLR0912 one for each kind
    condition: Condition,
) -> str:
    """What must hold."""
    match condition:
        case NodeReady(node=node):
            return f"node {node} is Ready"
        case NodesReady(explained=explained):
            return "every node is Ready" + (f" but for {', '.join(explained)}" if explained else "")
        case OthersReady(owner=owner, node=node):
            return f"{owner.name} is ready on all nodes but {node}"
        case Replaced(owner=owner, node=node):
            return f"a new pod of {owner} is Ready" + (f" on {node}" if node else "")
        case Gone(target=target):
            return f"{target} has ended"
        case RolledOut(target=target):
            return f"every pod of {target} has the new template and is available"
        case NewTemplate(target=target):
            return f"{target} has another template than now"
        case OperatorSettled():
            return "TigeraStatus calico is Available and not Degraded"
        case NotMarked(target=target):
            return f"no other plan has {target} in hand"
        case CiliumNodes(nodes=nodes, ranges=ranges):
            return f"{and_more(nodes, 5)} each have a block of {', '.join(ranges)} from Cilium"
        case TestPods(namespace=namespace, nodes=nodes, is_cilium=is_cilium):
            whose = "of the node's block" if is_cilium else "that is not Cilium's"
            return f"a pod of {namespace} is Ready on {and_more(nodes, 5)}, with an address {whose}"
        case PodsGone(namespace=namespace, labels=labels):
            listed = ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
            return f"no pod {listed} is left in {namespace}"
        case JobDone(target=target):
            return f"{target} has done its work"
        case CiliumFits(is_first=is_first):
            waiting = "the nodes still wait for a CNI, and " if is_first else ""
            return f"{waiting}nothing speaks against Cilium"
        case CiliumOn(node=node, manages=manages, configures=configures):
            keeps = "keeps" if manages else "leaves alone"
            files = {True: "; it is Cilium's alone", False: "; it is another CNI's", None: ""}[configures]
            return f"Cilium's agent on {node} {keeps} the CNI configuration{files}; its tunnel is up"
        case AddressesWithin(pod_range=pod_range):
            return f"every pod has an address of {pod_range}"


def milestones_shown(plan: Plan, journal: Sequence[JournalEntry]) -> str:
    """How far a plan of several milestones has come: "Prepared ✓ · Installed ✓ · NodesMigrated 1 of 3 · Finalised no".

    Those that differ by their second word are counted together. "" for a plan without any.
    """
    kinds: dict[str, list[bool]] = {}
    for one in milestones(plan, journal):
        kinds.setdefault(one.name.partition(" ")[0], []).append(one.is_reached)
    return " · ".join(
        f"{name} {sum(reached)} of {len(reached)}" if len(reached) > 1 else f"{name} {'✓' if reached[0] else 'no'}"
        for name, reached in kinds.items()
    )


UNDO_WORDS = {
    "restore": "the former value is restored",
    "not-needed": "none needed",
    "person": "never by itself: a person decides",
    "person-unless-verified": "none needed once it is verified; else a person decides",
}


def plan_text(record: PlanRecord, journal: Sequence[JournalEntry] = ()) -> str:
    """Everything about a plan, line by line."""
    return "\n".join(_lines(record, journal)) + "\n"


def _lines(record: PlanRecord, journal: Sequence[JournalEntry]) -> Iterator[str]:
    plan = record.plan
    yield f"{SIGNS[record.state]}: {plan.title} on {plan.cluster}"
    if record.sentence:
        yield record.sentence
    yield f"plan {plan.id}, proposed by {plan.requester}" + (f", for incident {plan.incident}" if plan.incident else "")
    yield f"digest {plan.digest}"
    yield f"risk: {RISKS[plan.risk]}; expected to take {plan.expected_s:.0f} s"
    yield plan.disruption
    if reached := milestones_shown(plan, journal):
        yield reached
    yield from (f"warning: {bounded(one)}" for one in plan.warnings)
    if plan.cause or plan.evidence:
        yield "why:" + (f" {plan.cause}" if plan.cause else "")
        yield from (f"  {redact(bounded(one, MOST_CHARACTERS))}" for one in plan.evidence)
    yield "steps:"
    done = {(line.step, line.way): line for line in journal if line.event != "turned"}
    ways: tuple[Way, ...] = ("do",) if plan.back else ("do", "undo")
    for number, step in enumerate(plan.steps):
        yield from _numbered(number, step, [done[number, way] for way in ways if (number, way) in done])
        if not plan.back:
            yield f"     undo: {UNDO_WORDS[step.undo]}"
    if plan.back:
        yield "the way back, where it stops or does not help:"
    for number, step in enumerate(plan.back):
        yield from _numbered(number, step, [done[number, "undo"]] if (number, "undo") in done else [])
    for one in record.approvals:
        how = "GLASS BROKEN" if one.is_break_glass else "approved"
        yield f"{how} by {one.person}" + (f": {bounded(one.reason)}" if one.reason else "")


def _numbered(number: int, step: Step, done: Sequence[JournalEntry]) -> Iterator[str]:
    marks = ", ".join(f"{line.way} {line.event}" for line in done)
    yield f"  {number + 1}. {step.title}" + (f" [{marks}]" if marks else "")
    yield from (f"     before: {condition_shown(one)}" for one in step.guards)
    yield from (f"     {line}" for line in exactly(step.do))
    yield from (f"     after, within {step.within_s:.0f} s: {condition_shown(one)}" for one in step.verify)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command of kubectl or Helm, and the command that must print `expects` before it."""

    title: str
    argv: tuple[str, ...]
    check: tuple[str, ...] = ()
    expects: str = ""
    given: str = ""
    """What the command reads from standard input."""


def commands(plan: Plan) -> Iterator[Command]:  # noqa: C901 one for each kind
    """The plan as kubectl commands, in order. What only cnibot can do (its probes, its mark) is left out."""
    for step in plan.steps:
        match step.do:
            case Replace() as change if change.field[:2] != ("metadata", "annotations"):
                yield Command(title=step.title, argv=(*_on("patch", step.do), "--type=json", "--patch", _patch(change)))
            case Create(manifest=manifest):
                given = msgspec.json.encode(manifest).decode()
                yield Command(title=step.title, argv=("kubectl", "create", "--filename=-"), given=given)
            case Remove():
                yield Command(title=step.title, argv=(*_on("delete", step.do), "--ignore-not-found"))
            case Delete(target=target):
                where = _on("get", step.do)
                raw = ("kubectl", "create", "--raw", f"{target.path}/eviction", "--filename=-")
                yield Command(
                    title=step.title,
                    argv=raw if step.do.is_eviction else _on("delete", step.do),
                    check=(*where, "--output=jsonpath={.metadata.uid}"),
                    expects=target.uid,
                    given=msgspec.json.encode(eviction(target.name, target.namespace, target.uid)).decode()
                    if step.do.is_eviction
                    else "",
                )
            case HelmRollback(release=release, namespace=namespace, present=present) as change:
                listed = f"owner=helm,name={release},version in ({present.number},{present.number + 1})"
                look = ("kubectl", "get", "secrets", f"--namespace={namespace}", f"--selector={listed}")
                yield Command(
                    title=step.title,
                    argv=_helm(change),
                    check=(*look, "--output=jsonpath={.items[*].metadata.labels.version}"),
                    expects=str(present.number),
                )
            case Restart(target=target, node=node):
                where = (f"--namespace={target.namespace}", f"--field-selector=spec.nodeName={node}")
                argv = ("kubectl", "delete", "pods", *where, f"--selector={_AGENTS}")
                yield Command(title=step.title, argv=argv)
            case Evict(target=target, which="moving"):
                drain = ("kubectl", "drain", target.name, "--ignore-daemonsets", "--delete-emptydir-data")
                yield Command(title=step.title, argv=(*drain, f"--timeout={step.within_s:.0f}s"))
            case Evict(target=target):
                look = ("kubectl", "get", "pods", "--all-namespaces", "--output=wide")
                title = f"{step.title}: review the list, then delete those"  # kubectl selects none by address
                yield Command(title=title, argv=(*look, f"--field-selector=spec.nodeName={target.name}"))
            case _:
                continue
        for condition in step.verify:
            yield from _waiting(condition, step.within_s)


_AGENTS = "k8s-app=cilium"


def _helm(do: HelmRollback) -> tuple[str, ...]:
    timeout = f"--timeout={do.timeout_s:.0f}s"
    return ("helm", "rollback", do.release, str(do.chosen.number), f"--namespace={do.namespace}", timeout)


def _on(verb: str, do: Change) -> tuple[str, ...]:
    namespace = (f"--namespace={do.target.namespace}",) if do.target.namespace else ()
    return ("kubectl", verb, do.target.kind.lower(), do.target.name, *namespace)


def _patch(change: Replace) -> str:
    """A JSON patch that fails unless the field is as it was."""
    path = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in change.field)
    operations: list[Mapping[str, Any]] = []
    if change.before is not None:
        operations.append({"op": "test", "path": path, "value": change.before})
    if change.after is None:
        operations.append({"op": "remove", "path": path})
    else:
        operations.append({"op": "add", "path": path, "value": change.after})
    return msgspec.json.encode(operations).decode()


def _waiting(condition: Condition, within_s: float) -> Iterator[Command]:
    target = condition.target if isinstance(condition, RolledOut) else None
    if isinstance(condition, Replaced) and condition.owner.kind != "ReplicaSet":
        target = condition.owner
    if target is not None:
        argv = (
            "kubectl",
            "rollout",
            "status",
            f"{target.kind.lower()}/{target.name}",
            f"--namespace={target.namespace}",
        )
        yield Command(title=f"wait until {condition_shown(condition)}", argv=(*argv, f"--timeout={within_s:.0f}s"))


def plan_shell(plan: Plan) -> str:
    """The plan as a shell script that stops at the first thing that is not as the plan says."""
    rows = ["#!/bin/sh", f"# {_comment(plan.title)} (plan {plan.id}, digest {plan.digest})", "set -eu"]
    for command in commands(plan):
        rows.append(f"\n# {_comment(command.title)}")
        if command.check:
            rows.append(f'test "$({shlex.join(command.check)})" = {shlex.quote(command.expects)}')
        given = f"printf %s {shlex.quote(command.given)} | " if command.given else ""
        rows.append(given + shlex.join(command.argv))
    return "\n".join(rows) + "\n"


def _comment(text: str) -> str:
    """Foreign text that stays in its comment."""
    return bounded(text)


def plan_ansible(plan: Plan) -> str:
    """The plan as a playbook for a host that has kubectl; it needs ansible-core and no collection."""
    tasks: list[dict[str, Any]] = []
    for command in commands(plan):
        if command.check:
            tasks.append(
                {
                    "name": f"Look before: {_plain(command.title)}",
                    "ansible.builtin.command": {"argv": [*map(_plain, command.check)]},
                    "register": "looked",
                    "changed_when": False,
                    "failed_when": f"looked.rc != 0 or looked.stdout != {command.expects!r}",
                }
            )
        waits = command.argv[1] == "rollout"
        tasks.append(
            {
                "name": _plain(command.title),
                "ansible.builtin.command": {"argv": [*map(_unsafe, command.argv)]}
                | ({"stdin": _unsafe(command.given)} if command.given else {}),
                "changed_when": not waits,
            }
        )
    play = {
        "name": f"{_plain(plan.title)} (plan {plan.id}, digest {plan.digest[:12]})",
        "hosts": "localhost",
        "gather_facts": False,
        "tasks": tasks,
    }
    return yaml.dump([play], Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000)


class _Unsafe(str):
    """A value that Ansible takes as it stands: braces in it are no template."""

    __slots__ = ()


class _Dumper(yaml.SafeDumper):
    """YAML with Ansible's tag for such values."""


def _represented(dumper: yaml.SafeDumper, value: _Unsafe) -> yaml.Node:
    return dumper.represent_scalar("!unsafe", str(value))  # pyright: ignore[reportUnknownMemberType] untyped


_Dumper.add_representer(_Unsafe, _represented)


def _unsafe(word: str) -> str:
    return _Unsafe(word) if "{" in word else word


def _plain(text: str) -> str:
    """Without braces: names of tasks are templates as well."""
    return bounded(text).replace("{{", "{ {").replace("{%", "{ %")
