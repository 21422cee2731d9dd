"""`cnibot plan …` and `cnibot audit …`: under the name that the API server knows you by."""

import enum
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from bot.cli.common import errors_explained, fail, say, say_aside, say_exactly
from bot.cli.plan_context import PlanContext, examined, with_plans
from bot.domain.foreign import read_text, yaml_mistake
from bot.domain.redact import redacted

if TYPE_CHECKING:
    from bot.domain.plan_journal import JournalEntry
    from bot.domain.plan_life import PlanRecord, Refusal
    from bot.remediation.cilium.preflight import Check
    from bot.remediation.requests import PlanRequest

T = TypeVar("T")
_MOST_VALUES = 2**20
REFUSED = 1
"""The exit code when nothing was decided or changed, or the plan did not end well."""

plan = typer.Typer(name="plan", help="Changes of a cluster: proposed, approved, carried out.", no_args_is_help=True)
propose = typer.Typer(
    name="propose",
    help="Make a plan, check it by a dry run, and let it wait for approval. NAMESPACE is diagnosed before and after.",
    no_args_is_help=True,
)
plan.add_typer(propose)


class PlanOutput(enum.StrEnum):
    """The forms of a plan."""

    TEXT = "text"
    JSON = "json"
    SHELL = "shell"
    ANSIBLE = "ansible"


_Id = Annotated[str, typer.Argument(help="The plan's id.", show_default=False)]
_For = Annotated[str, typer.Option("--for", metavar="NAMESPACE", help="The namespace whose pods cannot talk.")]
_Cluster = Annotated[str | None, typer.Option("--cluster", help="The cluster's name in the settings; else the first.")]


def _propose(asked: "PlanRequest | None", namespace: str, cluster: str | None, *, all_nodes: bool = False) -> None:
    async def work(context: PlanContext) -> "PlanRecord":
        from bot.incidents.plans import Proposal  # noqa: PLC0415
        from bot.remediation.verification import baseline_of  # noqa: PLC0415

        name = context.cluster(cluster)
        done = await examined(context.settings, context.clusters[name], namespace, all_nodes=all_nodes)
        report = done.report
        named = next((one for one in report.causes if one.id == report.verdict.cause), None)
        proposal = Proposal(
            asked=asked or await context.service.fix_for(name, report),
            cluster=name,
            namespace=namespace,
            requester=await context.person(name),
            baseline=baseline_of(report),
            evidence=(report.verdict.summary, *(named.evidence_for[:3] if named else ())),
            reports=done.recording.reports if all_nodes else {},
        )
        return await context.service.propose(proposal)

    _show_text(with_plans(work))


@propose.command("fix")
def propose_fix(namespace: _For, cluster: _Cluster = None) -> None:
    """Propose what the verdict leads to: the rollback of a bad revision, or a restart of the CNI's agent."""
    _propose(None, namespace, cluster)


@propose.command("roll-back")
def propose_roll_back(
    namespace: _For,
    workload: Annotated[
        str, typer.Option(help="NAMESPACE/NAME of a DaemonSet, or deployment/NAMESPACE/NAME. Empty: the CNI's agent.")
    ] = "",
    revision: Annotated[
        str, typer.Option(help="Its number or name; of a Helm release its number. Empty: the newest that differs.")
    ] = "",
    cluster: _Cluster = None,
) -> None:
    """Roll a DaemonSet or Deployment back to an earlier revision, by its owner where it has one: Helm, an operator."""
    from bot.remediation.requests import RollBack  # noqa: PLC0415

    is_deployment = workload.startswith("deployment/")
    where, name = _named(workload.removeprefix("deployment/")) if workload else ("", "")
    kind = "Deployment" if is_deployment else "DaemonSet"
    _propose(RollBack(kind=kind, namespace=where, name=name, revision=revision), namespace, cluster)


@propose.command("restart-agents")
def propose_restart_agents(
    nodes: Annotated[list[str], typer.Argument(help="The nodes.", show_default=False)],
    namespace: _For,
    cluster: _Cluster = None,
) -> None:
    """Restart the CNI's agent on some nodes, one after the other, each cordoned meanwhile."""
    from bot.remediation.requests import RestartAgents  # noqa: PLC0415

    _propose(RestartAgents(nodes=tuple(nodes)), namespace, cluster)


_Node = Annotated[str, typer.Argument(help="The node.", show_default=False)]


@propose.command("cordon")
def propose_cordon(node: _Node, namespace: _For, cluster: _Cluster = None) -> None:
    """Let no new pod be scheduled on a node."""
    from bot.remediation.requests import Cordon  # noqa: PLC0415

    _propose(Cordon(node=node), namespace, cluster)


@propose.command("uncordon")
def propose_uncordon(node: _Node, namespace: _For, cluster: _Cluster = None) -> None:
    """Let pods be scheduled on a node again."""
    from bot.remediation.requests import Uncordon  # noqa: PLC0415

    _propose(Uncordon(node=node), namespace, cluster)


@propose.command("drain")
def propose_drain(node: _Node, namespace: _For, cluster: _Cluster = None) -> None:
    """Cordon a node and evict its pods, as their PodDisruptionBudgets allow."""
    from bot.remediation.requests import Drain  # noqa: PLC0415

    _propose(Drain(node=node), namespace, cluster)


@propose.command("restore")
def propose_restore(
    named: Annotated[
        str,
        typer.Argument(
            metavar="OBJECT",
            help="ConfigMap/NAMESPACE/NAME, FelixConfiguration/NAME, IPPool/NAME or Installation/NAME.",
            show_default=False,
        ),
    ],
    recording: Annotated[
        Path, typer.Option("--from", help="A recording (--record) of when it was right.", exists=True, dir_okay=False)
    ],
    namespace: _For,
    cluster: _Cluster = None,
) -> None:
    """Put fields of the CNI's configuration back as a recording has them."""
    from bot.diagnosis.recording import load  # noqa: PLC0415
    from bot.incidents.plans.recorded import recorded  # noqa: PLC0415
    from bot.remediation.requests import Restore  # noqa: PLC0415

    with errors_explained():
        wanted = recorded(load(recording), named)
    _propose(Restore(wanted=wanted), namespace, cluster)


@propose.command("recreate-pod")
def propose_recreate_pod(
    pod: Annotated[str, typer.Argument(help="NAMESPACE/NAME.", show_default=False)], cluster: _Cluster = None
) -> None:
    """Delete one pod, so that its controller makes it again."""
    from bot.remediation.requests import RecreatePod  # noqa: PLC0415

    where, name = _named(pod)
    _propose(RecreatePod(namespace=where, pod=name), where, cluster)


@propose.command("target-port")
def propose_target_port(
    service: Annotated[str, typer.Argument(help="NAMESPACE/NAME.", show_default=False)],
    to: Annotated[str, typer.Argument(help="The port on which the pods listen.", show_default=False)],
    port: Annotated[str, typer.Option(help="Which of the Service's ports, by name or number.")] = "",
    cluster: _Cluster = None,
) -> None:
    """Correct a Service's targetPort."""
    from bot.remediation.requests import TargetPort  # noqa: PLC0415

    where, name = _named(service)
    _propose(TargetPort(namespace=where, service=name, port=port, to=to), where, cluster)


@propose.command("selector")
def propose_selector(
    service: Annotated[str, typer.Argument(help="NAMESPACE/NAME.", show_default=False)],
    labels: Annotated[list[str], typer.Argument(help="KEY=VALUE, each.", show_default=False)],
    cluster: _Cluster = None,
) -> None:
    """Correct a Service's selector."""
    from bot.remediation.requests import Selector  # noqa: PLC0415

    where, name = _named(service)
    pairs = dict(label.split("=", 1) for label in labels if "=" in label)
    if len(pairs) != len(labels):
        fail("Each label is KEY=VALUE.", 2)
    _propose(Selector(namespace=where, service=name, labels=pairs), where, cluster)


@propose.command("scale")
def propose_scale(
    deployment: Annotated[str, typer.Argument(help="NAMESPACE/NAME.", show_default=False)],
    replicas: Annotated[int, typer.Argument(help="How many.", show_default=False, min=1)],
    cluster: _Cluster = None,
) -> None:
    """Scale a Deployment."""
    from bot.remediation.requests import Scale  # noqa: PLC0415

    where, name = _named(deployment)
    _propose(Scale(namespace=where, deployment=name, replicas=replicas), where, cluster)


@propose.command("install-cilium")
def propose_install_cilium(
    pod_range: Annotated[
        str, typer.Argument(metavar="POD_RANGE", help="Each node gets a /24 of it: 10.42.0.0/16.", show_default=False)
    ],
    namespace: _For = "kube-system",
    tunnel_port: Annotated[int, typer.Option(help="UDP, between all nodes.", min=1, max=65535)] = 8472,
    api_server: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="How agents reach the API server; empty: by its Service.")
    ] = "",
    cluster: _Cluster = None,
) -> None:
    """Install Cilium as the first CNI of a cluster whose nodes wait for one, from the chart in the settings."""
    from bot.remediation.cilium.values import CiliumValues  # noqa: PLC0415
    from bot.remediation.requests import InstallCilium  # noqa: PLC0415

    values = CiliumValues(pod_range=pod_range, tunnel_port=tunnel_port, api_server=api_server)
    _propose(InstallCilium(values=values), namespace, cluster)


@propose.command("migrate-to-cilium")
def propose_migrate_to_cilium(
    pod_range: Annotated[
        str,
        typer.Argument(
            metavar="POD_RANGE", help="A new one, of which each node gets a /24: 10.245.0.0/16.", show_default=False
        ),
    ],
    namespace: _For = "kube-system",
    tunnel_port: Annotated[int, typer.Option(help="UDP, between all nodes.", min=1, max=65535)] = 8473,
    api_server: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="How agents reach the API server; empty: by its Service.")
    ] = "",
    soak: Annotated[
        float, typer.Option(metavar="SECONDS", help="Between a node and the next.", min=0, max=86_400)
    ] = 600.0,
    cluster: _Cluster = None,
) -> None:
    """Migrate a cluster from flannel or Calico to Cilium, node by node, each undone where it does not work."""
    from bot.remediation.cilium.values import CiliumValues  # noqa: PLC0415
    from bot.remediation.requests import MigrateToCilium  # noqa: PLC0415

    values = CiliumValues(pod_range=pod_range, tunnel_port=tunnel_port, api_server=api_server)
    _propose(MigrateToCilium(values=values, soak_s=soak), namespace, cluster, all_nodes=True)


@propose.command("remove-cni")
def propose_remove_cni() -> None:
    """Say why no plan does that, and how people do. Exit code 1."""
    from bot.remediation.actions.migrate_to_cilium import NO_REMOVAL  # noqa: PLC0415

    fail(NO_REMOVAL, REFUSED)


def _named(text: str) -> tuple[str, str]:
    where, slash, name = text.partition("/")
    if not (where and slash and name) or "/" in name:
        fail(f"{text!r} is not NAMESPACE/NAME.", 2)
    return where, name


@plan.command("preflight-cilium")
def preflight_cilium(
    values: Annotated[Path, typer.Argument(help="The values for the chart, as YAML.", exists=True, dir_okay=False)],
    cluster: _Cluster = None,
) -> None:
    """Say what would break if Cilium were installed with these values. It reads only. Exit code 1: something would."""

    async def work(context: PlanContext) -> "list[Check]":
        import yaml  # noqa: PLC0415

        from bot.cluster.writer import Writer  # noqa: PLC0415
        from bot.domain.errors import ConfigurationError  # noqa: PLC0415
        from bot.remediation.cilium.preflight import preflight  # noqa: PLC0415
        from bot.remediation.cilium.seen import read  # noqa: PLC0415

        try:
            given: object = yaml.safe_load(read_text(values, _MOST_VALUES))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise ConfigurationError(str(values), yaml_mistake(error)) from None
        except OSError as error:
            raise ConfigurationError(str(values), error.strerror or str(error)) from error
        if not isinstance(given, dict):
            raise ConfigurationError(str(values), "it is no mapping of values")
        name = context.cluster(cluster)
        done = await examined(context.settings, context.clusters[name], "kube-system", all_nodes=True)
        async with context.connect(name) as api:
            seen = await read(Writer(api), done.recording.reports)
        return preflight(cast("dict[str, Any]", given), seen)

    checks = with_plans(work)
    for (state, number), found in groupby(checks, lambda one: (one.state, one.id)):
        same = list(found)
        for one in same:
            say(f"{state:<8} {number}  {one.sentence.rstrip('.')}.")
        if state != "ok":
            say(f"{'':<13} {same[0].why} {same[0].instead}")
    if any(one.stops for one in checks):
        raise typer.Exit(REFUSED)


@plan.command("show")
def show(
    plan_id: _Id,
    output: Annotated[PlanOutput, typer.Option("--output", "-o", help="Output format.")] = PlanOutput.TEXT,
) -> None:
    """Show a plan whole: each step, what is changed, and what has become of it."""

    async def work(context: PlanContext) -> "tuple[PlanRecord, tuple[JournalEntry, ...]]":
        return await context.service.get(plan_id), await context.service.journal(plan_id)

    record, journal = with_plans(work)
    match output:
        case PlanOutput.TEXT:
            _show_text(record, journal)
        case PlanOutput.JSON:
            import msgspec  # noqa: PLC0415

            from bot.remediation.progress import milestones  # noqa: PLC0415

            content = {
                "record": record,
                "digest": record.plan.digest,
                "journal": journal,
                "milestones": milestones(record.plan, journal),
            }
            safe = redacted(msgspec.to_builtins(content), "json")
            say(msgspec.json.format(msgspec.json.encode(safe)).decode(), sink="json")
        case PlanOutput.SHELL:
            from bot.render.plans import plan_shell  # noqa: PLC0415

            say_exactly(plan_shell(record.plan))
        case PlanOutput.ANSIBLE:
            from bot.render.plans import plan_ansible  # noqa: PLC0415

            say_exactly(plan_ansible(record.plan))


@plan.command("list")
def list_() -> None:
    """List the plans, newest first."""

    async def work(context: PlanContext) -> "tuple[PlanRecord, ...]":
        return await context.service.recent()

    for one in with_plans(work):
        say(f"{one.plan.id}  {one.state:<10}  {one.plan.cluster}  {one.plan.title}")


@plan.command("approve")
def approve(
    plan_id: _Id,
    digest: Annotated[
        str, typer.Option(help="The digest that you read; without it, you are asked for it after the plan is shown.")
    ] = "",
    reason: Annotated[str, typer.Option(help="Why; it is part of the audit.")] = "",
    cluster: Annotated[str, typer.Option("--cluster", help="The cluster's name, if the plan requires it.")] = "",
    break_glass: Annotated[  # noqa: FBT002 a switch of the command line
        bool,
        typer.Option("--break-glass", help="Alone, whatever the hour. For those named for it; everybody is notified."),
    ] = False,
) -> None:
    """Approve a plan of somebody else. You must be allowed to make its changes yourself."""

    async def work(context: PlanContext) -> "PlanRecord | Refusal":
        from bot.remediation.rights import missing_rights  # noqa: PLC0415

        record = await context.service.get(plan_id)
        read = digest
        if not read:
            _show_text(record)
            read = record.plan.digest if typer.confirm("Approve exactly this?") else ""
        if not record.plan.digest.startswith(read) or len(read) < 8:
            fail("That is not the digest of this plan (at least 8 characters of it).", REFUSED)
        async with context.connect(record.plan.cluster) as api:
            missing = await missing_rights(record.plan, api)
        if missing:
            fail(f"You may not do yourself what this plan does: {'; '.join(missing)}.", REFUSED)
        person = await context.person(record.plan.cluster)
        return await context.service.approve(
            plan_id, person, digest=record.plan.digest, reason=reason, typed=cluster, is_break_glass=break_glass
        )

    _report_outcome(with_plans(work))


@plan.command("reject")
def reject(plan_id: _Id, reason: Annotated[str, typer.Option(help="Why.")] = "") -> None:
    """Refuse a plan: nothing is changed."""

    async def work(context: PlanContext) -> "PlanRecord | Refusal":
        record = await context.service.get(plan_id)
        return await context.service.refuse(plan_id, await context.person(record.plan.cluster), reason)

    _report_outcome(with_plans(work))


@plan.command("abort")
def abort(plan_id: _Id) -> None:
    """Abort a plan; one that runs turns back at its next step."""

    async def work(context: PlanContext) -> "PlanRecord | Refusal":
        record = await context.service.get(plan_id)
        return await context.service.abort(plan_id, await context.person(record.plan.cluster))

    _report_outcome(with_plans(work))


@plan.command("run")
def run(plan_id: _Id) -> None:
    """Carry an approved plan out, or go on with one whose process was killed. Exit code 0: it is verified."""

    async def work(context: PlanContext) -> "PlanRecord | Refusal":
        async def tell(record: "PlanRecord", journal: "Sequence[JournalEntry]") -> None:
            line = journal[-1]
            step = record.plan.step(line.step, line.way)
            of = len(record.plan.back if line.way == "undo" and record.plan.back else record.plan.steps)
            note = f": {line.note}" if line.note else ""
            say_aside(f"{line.step + 1}/{of} {line.way} {step.title}: {line.event}{note}")

        return await context.service.execute(plan_id, who=f"terminal {id(context)}", on_move=tell)

    _report_outcome(with_plans(work), good=("verified", "checked"))


@plan.command("stop")
def stop(reason: Annotated[str, typer.Option(help="Why.")] = "", cluster: _Cluster = None) -> None:
    """Throw the kill switch: no plan begins, and what runs turns back at its next step."""

    async def work(context: PlanContext) -> None:
        await context.service.stop_all(await context.person(context.cluster(cluster)), reason)

    with_plans(work)
    say("All changes are stopped until: cnibot plan resume")


@plan.command("resume")
def resume(cluster: _Cluster = None) -> None:
    """Release the kill switch."""

    async def work(context: PlanContext) -> None:
        await context.service.resume_all(await context.person(context.cluster(cluster)))

    with_plans(work)
    say("Plans may be carried out again.")


def _show_text(record: "PlanRecord", journal: "tuple[JournalEntry, ...]" = ()) -> None:
    from bot.render.plans import plan_text  # noqa: PLC0415

    say(plan_text(record, journal), end="")


def _report_outcome(answer: "PlanRecord | Refusal", *, good: tuple[str, ...] = ()) -> None:
    """What came of it; exit code 1 for a refusal, and for an end that is not among the good ones."""
    from bot.domain.plan_life import Refusal  # noqa: PLC0415

    if isinstance(answer, Refusal):
        fail(answer.sentence, REFUSED)
    say(f"Plan {answer.plan.id}: {answer.state}. {answer.sentence}".strip())
    if good and answer.state not in good:
        raise typer.Exit(REFUSED)


audit = typer.Typer(name="audit", help="Who changed what, when, and who approved it.", no_args_is_help=True)


@audit.command("verify")
def verify(
    head: Annotated[
        str, typer.Option(help="The end that you noted down (NUMBER:HASH): nothing before it is gone.")
    ] = "",
) -> None:
    """Show whether any entry of the audit was altered, removed or reordered. Exit code 1: one was."""

    async def work(context: PlanContext) -> tuple[list[str], str]:
        from bot.store.audit import flaws, hashed  # noqa: PLC0415

        lines = [line async for line in context.store.audit.lines()]
        end = await context.store.audit.head()
        found = list(flaws(lines, end))
        if head and head not in hashed(lines):
            found.append(f"There is no entry {head[:20]}…: the audit was cut or made anew.")
        return found, str(end)

    found, end = with_plans(work)
    for sentence in found:
        say(sentence)
    if found:
        raise typer.Exit(REFUSED)
    say(f"The audit is whole. It ends with {end}")


@audit.command("export")
def export(
    file: Annotated[Path | None, typer.Option("--file", help="Where to; else standard output.", dir_okay=False)] = None,
) -> None:
    """Write all entries as JSON, one a line."""

    async def work(context: PlanContext) -> list[bytes]:
        return [line async for line in context.store.audit.lines()]

    text = b"".join(line + b"\n" for line in with_plans(work))
    if file is None:
        say_exactly(text.decode())
    else:
        file.write_bytes(text)
