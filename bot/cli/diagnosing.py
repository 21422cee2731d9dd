"""`cnibot diagnose` and `cnibot replay`."""

import asyncio
import enum
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from bot.aio.stopping import until_terminated
from bot.cli.common import (
    HEALTHY,
    NO_DIAGNOSIS,
    PROBLEM,
    USAGE,
    PlaybooksDirs,
    begin,
    errors_explained,
    fail,
    knowledge_of,
    say,
    say_aside,
)
from bot.cli.shells import playbooks
from bot.domain.facts import Rung
from bot.domain.report import Report
from bot.settings import Settings, has_kubeconfig


class Output(enum.StrEnum):
    """The forms of a report."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    MARKDOWN = "markdown"


_Namespace = Annotated[
    str | None, typer.Argument(help="The namespace whose pods cannot talk.", show_default=False, metavar="NAMESPACE")
]
_NamespaceOption = Annotated[
    str | None, typer.Option("--namespace", "-n", help="The same, as kubectl takes it.", show_default=False)
]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Show everything: ruled-out causes, all findings.")]
_OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Format of the report.")]


def diagnose(  # noqa: PLR0913, PLR0917 the options of the contract
    namespace: _Namespace = None,
    of: _NamespaceOption = None,
    pod: Annotated[
        str | None, typer.Option(help="Only this pod, or the pods of the workload of this name.", show_default=False)
    ] = None,
    context: Annotated[str | None, typer.Option(help="The kubeconfig's context.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig; otherwise as kubectl finds it.")] = None,
    access: Annotated[Rung | None, typer.Option(help="The highest rung of the access ladder to use.")] = None,
    playbook: Annotated[str, typer.Option(help="The playbook to follow.", autocompletion=playbooks)] = "namespace",
    output: _OutputOption = Output.TEXT,
    record: Annotated[
        Path | None, typer.Option(help="Also write what was seen to this file (.json or .json.gz).")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Time limit of the whole diagnosis, in seconds.", min=1)] = None,
    trace: Annotated[
        bool | None, typer.Option("--trace/--no-trace", help="Follow probe packets of flows that fail.")
    ] = None,
    playbooks_dir: PlaybooksDirs = None,
    verbose: _Verbose = False,  # noqa: FBT002 a flag
) -> None:
    """Say why the pods of NAMESPACE cannot talk.

    Exit code 0: healthy. 1: a problem was found. 2: a mistake in the command. 3: could not diagnose.
    """
    from bot.diagnosis import diagnose as use_case  # noqa: PLC0415 `cnibot --help` needs none of it
    from bot.diagnosis.request import Request  # noqa: PLC0415
    from bot.render.progress import watching  # noqa: PLC0415

    with errors_explained():
        settings = begin()
        knowledge = knowledge_of(settings, playbooks_dir)
        request = Request(
            namespace=_one_of(namespace, of),
            pod=pod,
            access=access,
            playbook=playbook,
            timeout_s=timeout or settings.timeout_s,
            bot_namespace=settings.bot_namespace,
            agent_image=settings.agent_image,
            max_nodes=settings.max_nodes,
            with_trace=settings.trace if trace is None else trace,
        )
        config = (kubeconfig if kubeconfig != Path() else None) or _lab_kubeconfig(settings, context)
        with watching(Console(stderr=True), is_wanted=True) as on_progress:
            work = use_case.diagnose_cluster(config, context, request, knowledge, on_progress=on_progress)
            done = asyncio.run(until_terminated(work))
        if record:
            from bot.diagnosis.recording import save  # noqa: PLC0415

            save(done.recording, record)
    _show(done.report, output, details=verbose)


def _one_of(argument: str | None, option: str | None) -> str:
    """The namespace, which is given in one of two ways."""
    if argument and option and argument != option:
        fail(f"The namespace is given twice: {argument} and {option}. Which one?", USAGE)
    if not (argument or option):
        fail("Which namespace? Type: cnibot diagnose NAMESPACE", USAGE)
    return argument or option or ""


def replay(
    file: Annotated[Path, typer.Argument(help="A file written by `cnibot diagnose --record`.", show_default=False)],
    output: _OutputOption = Output.TEXT,
    playbook: Annotated[
        str | None, typer.Option(help="Another playbook than the recorded one.", autocompletion=playbooks)
    ] = None,
    playbooks_dir: PlaybooksDirs = None,
    verbose: _Verbose = False,  # noqa: FBT002 a flag
) -> None:
    """Judge a recorded diagnosis again, without a cluster. Exit codes as `diagnose`."""
    from bot.diagnosis.judge import judge_recording  # noqa: PLC0415
    from bot.diagnosis.recording import load  # noqa: PLC0415

    with errors_explained():
        recording = load(file)
        report = judge_recording(recording, knowledge_of(begin(), playbooks_dir), playbook=playbook)
    _show(report, output, details=verbose)


def _lab_kubeconfig(settings: Settings, context: str | None) -> Path | None:
    """The running lab's kubeconfig where no other cluster is configured, and a word that says so."""
    if context or has_kubeconfig():
        return None
    found = settings.state_dir / "lab" / "kubeconfig"
    if not found.exists():
        return None
    say_aside("No kubeconfig: using the running lab's.")
    return found


def _show(report: Report, output: Output, *, details: bool) -> NoReturn:
    """Print the report and end with its exit code."""
    match output:
        case Output.TEXT:
            from bot.render.terminal import show  # noqa: PLC0415

            show(Console(), report, details=details)
        case Output.JSON:
            from bot.render.json import encoded  # noqa: PLC0415

            say(encoded(report), sink="json", end="")
        case Output.YAML:
            from bot.render.json import encoded_yaml  # noqa: PLC0415

            say(encoded_yaml(report), sink="json", end="")
        case Output.MARKDOWN:
            from bot.render.markdown import markdown  # noqa: PLC0415

            say(markdown(report), sink="markdown", end="")
    raise typer.Exit(exit_code(report))


def exit_code(report: Report) -> int:
    """0 healthy, 1 a problem was found, 3 nothing could be determined."""
    if report.verdict.status == "healthy":
        return HEALTHY
    found = any(finding.severity == "fail" for finding in report.findings)
    return PROBLEM if found or report.verdict.status != "inconclusive" else NO_DIAGNOSIS
