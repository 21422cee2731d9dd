"""The command line: `cnibot …`. Commands parse, call one use case, print, and choose the exit code."""

from importlib import metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from bot.cli.alerts import alerts
from bot.cli.common import unforeseen_explained
from bot.cli.diagnosing import diagnose, replay
from bot.cli.doctor import doctor
from bot.cli.incidents import incidents
from bot.cli.lab import DemoCommand, demo, lab
from bot.cli.plans import audit, plan
from bot.cli.rules import causes, known_issues, playbooks, probes
from bot.cli.serve import serve
from bot.cli.shells import completion

HELP: dict[str, object] = {"help_option_names": ["-h", "--help"]}


class _Commands(TyperGroup):
    """The commands, none of which ends with a traceback or with an exit code that means something else."""

    def invoke(self, ctx: Any) -> object:
        """Run one."""
        with unforeseen_explained(is_debugging=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)


def _version(is_asked: bool) -> None:  # noqa: FBT001 how Typer calls it
    if is_asked:
        typer.echo(version_line())
        raise typer.Exit


def _options(
    context: typer.Context,
    *,
    debug: Annotated[bool, typer.Option("--debug", help="Print the traceback of an internal error.")] = False,
    asked: Annotated[
        bool, typer.Option("--version", help="Show the version.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    """Says why Kubernetes pods cannot talk, with evidence."""
    del debug, asked  # read by the group, and by the callback
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


app = typer.Typer(
    name="cnibot",
    cls=_Commands,
    callback=_options,
    no_args_is_help=False,
    invoke_without_command=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)


def version() -> None:
    """Show the version."""
    typer.echo(version_line())


def version_line() -> str:
    """Name and version."""
    return f"cnibot {metadata.version('cnibot')}"


app.command()(diagnose)
app.command()(replay)
app.command()(serve)
app.command()(doctor)
app.command()(version)
app.command()(completion)
app.add_typer(lab, name="lab")
app.command("demo", cls=DemoCommand)(demo)
app.add_typer(alerts, name="alerts")
app.add_typer(incidents)
app.add_typer(plan)
app.add_typer(audit)
app.add_typer(playbooks, name="playbooks")
app.add_typer(causes, name="causes")
app.add_typer(known_issues, name="known-issues")
app.add_typer(probes, name="probes")
