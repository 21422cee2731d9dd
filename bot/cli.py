"""The command line: `cnibot …`. Commands parse, call one use case, print, and choose the exit code."""

import asyncio
import enum
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console

from bot.domain.errors import BotError, ConfigurationError, UnknownNamespaceError
from bot.domain.facts import Rung
from bot.domain.report import Report
from bot.rules.problems import RulesError
from bot.settings import Settings, has_kubeconfig, load_settings

app = typer.Typer(
    name="cnibot",
    help="Says why Kubernetes pods cannot talk, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


class Output(enum.StrEnum):
    """The forms of a report."""

    TEXT = "text"
    JSON = "json"
    MARKDOWN = "markdown"


HEALTHY, PROBLEM, USAGE, NO_DIAGNOSIS = 0, 1, 2, 3
"""The exit codes of the contract."""

_Namespace = Annotated[str, typer.Argument(help="The namespace whose pods cannot talk.", show_default=False)]
_Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Everything: ruled-out causes, all findings.")]
_OutputOption = Annotated[Output, typer.Option("--output", "-o", help="The form of the report.")]
_Dirs = Annotated[
    list[Path] | None,
    typer.Option("--playbooks-dir", help="A directory of your own playbooks and causes. Repeatable.", file_okay=False),
]


@contextmanager
def errors_explained() -> Generator[None]:
    """Turn what can go wrong in the world into one sentence and the contract's exit code."""
    try:
        yield
    except (UnknownNamespaceError, ConfigurationError, RulesError) as error:
        fail(str(error), USAGE)
    except BotError as error:
        fail(str(error), NO_DIAGNOSIS)
    except KeyboardInterrupt:
        fail("interrupted; node agents of this diagnosis were removed.", 130)


def fail(sentence: str, code: int) -> NoReturn:
    """Say on standard error what is wrong, and end."""
    Console(stderr=True, soft_wrap=True).print(f"cnibot: {sentence}", markup=False, highlight=False)
    raise typer.Exit(code)


@app.command()
def diagnose(  # noqa: PLR0913, PLR0917 the options of the contract
    namespace: _Namespace,
    pod: Annotated[str | None, typer.Option(help="Only this pod of the namespace.")] = None,
    context: Annotated[str | None, typer.Option(help="The kubeconfig's context.")] = None,
    kubeconfig: Annotated[Path | None, typer.Option(help="The kubeconfig; otherwise as kubectl finds it.")] = None,
    access: Annotated[Rung | None, typer.Option(help="The highest rung of the access ladder to use.")] = None,
    playbook: Annotated[str, typer.Option(help="The playbook to follow.")] = "namespace",
    output: _OutputOption = Output.TEXT,
    record: Annotated[
        Path | None, typer.Option(help="Also write what was seen to this file (.json or .json.gz).")
    ] = None,
    timeout: Annotated[float | None, typer.Option(help="Seconds that the whole diagnosis may take.", min=1)] = None,
    playbooks_dir: _Dirs = None,
    verbose: _Verbose = False,  # noqa: FBT002 a flag
) -> None:
    """Say why the pods of NAMESPACE cannot talk.

    Exit code 0: healthy. 1: a problem was found. 2: a mistake in the command. 3: could not diagnose.
    """
    from bot.incidents import diagnose as use_case  # noqa: PLC0415 `cnibot --help` needs none of it
    from bot.incidents.request import Request  # noqa: PLC0415
    from bot.render.progress import watching  # noqa: PLC0415

    with errors_explained():
        settings = load_settings()
        knowledge = _knowledge(settings, playbooks_dir)
        request = Request(
            namespace=namespace,
            pod=pod,
            access=access,
            playbook=playbook,
            timeout_s=timeout or settings.timeout_s,
            bot_namespace=settings.bot_namespace,
            agent_image=settings.agent_image,
            max_nodes=settings.max_nodes,
        )
        config = kubeconfig or _lab_kubeconfig(settings, context)
        with watching(Console(stderr=True), is_wanted=True) as on_progress:
            done = asyncio.run(use_case.diagnose_cluster(config, context, request, knowledge, on_progress=on_progress))
        if record:
            from bot.incidents.recording import save  # noqa: PLC0415

            save(done.recording, record)
    _show(done.report, output, details=verbose)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="A file written by `cnibot diagnose --record`.", show_default=False)],
    output: _OutputOption = Output.TEXT,
    playbook: Annotated[str | None, typer.Option(help="Another playbook than the recorded one.")] = None,
    playbooks_dir: _Dirs = None,
    verbose: _Verbose = False,  # noqa: FBT002 a flag
) -> None:
    """Judge a recorded diagnosis again, without a cluster. Exit codes as `diagnose`."""
    from bot.incidents.judge import judge_recording  # noqa: PLC0415
    from bot.incidents.recording import load  # noqa: PLC0415

    with errors_explained():
        recording = load(file)
        report = judge_recording(recording, _knowledge(load_settings(), playbooks_dir), playbook=playbook)
    _show(report, output, details=verbose)


@app.command(
    "lab",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def lab(context: typer.Context) -> None:
    """A cluster in network namespaces on this machine: up, down, status, exec, break, heal, faults."""
    try:
        from bot.lab.commands import app as lab_app  # noqa: PLC0415 the lab is an extra
    except ModuleNotFoundError as error:
        fail(f"The lab needs more packages ({error.name} is missing): pip install 'cnibot[lab]'", USAGE)
    lab_app(args=context.args, prog_name="cnibot lab")


def _knowledge(settings: Settings, more: list[Path] | None):  # noqa: ANN202 imported where needed
    from bot.incidents.knowledge import load_knowledge  # noqa: PLC0415

    return load_knowledge((*settings.playbooks_dirs, *(more or ())))


def _lab_kubeconfig(settings: Settings, context: str | None) -> Path | None:
    """The running lab's kubeconfig where no other cluster is configured, and a word that says so."""
    if context or has_kubeconfig():
        return None
    found = settings.state_dir / "lab" / "kubeconfig"
    if not found.exists():
        return None
    Console(stderr=True).print("No kubeconfig: using the running lab's.", style="dim")
    return found


def _show(report: Report, output: Output, *, details: bool) -> NoReturn:
    """Print the report and end with its exit code."""
    match output:
        case Output.TEXT:
            from bot.render.terminal import ReportView  # noqa: PLC0415

            Console().print(ReportView(report, details=details))
        case Output.JSON:
            from bot.render.json import encoded  # noqa: PLC0415

            sys.stdout.write(encoded(report))
        case Output.MARKDOWN:
            from bot.render.markdown import markdown  # noqa: PLC0415

            sys.stdout.write(markdown(report))
    raise typer.Exit(exit_code(report))


def exit_code(report: Report) -> int:
    """0 healthy, 1 a problem was found, 3 nothing could be told."""
    if report.verdict.status == "healthy":
        return HEALTHY
    found = any(finding.severity == "fail" for finding in report.findings)
    return PROBLEM if found or report.verdict.status != "inconclusive" else NO_DIAGNOSIS
