"""The command line: `cnibot …`. Commands parse, call one use case, print, and choose the exit code."""

import typer

from bot.cli.diagnosing import diagnose, replay
from bot.cli.doctor import doctor
from bot.cli.lab import demo, lab
from bot.cli.rules import causes, known_issues, playbooks, probes
from bot.cli.serve import serve

HELP: dict[str, object] = {"help_option_names": ["-h", "--help"]}
UNPARSED: dict[str, object] = {
    "allow_extra_args": True,
    "allow_interspersed_args": False,  # or the "--" of `lab exec NODE -- CMD` would be swallowed here
    "ignore_unknown_options": True,
    "help_option_names": [],
}
"""Everything behind `cnibot lab` is parsed by the lab's own commands."""

app = typer.Typer(
    name="cnibot",
    help="Says why Kubernetes pods cannot talk, with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings=HELP,
)
app.command()(diagnose)
app.command()(replay)
app.command()(serve)
app.command()(doctor)
app.command("lab", context_settings=UNPARSED, add_help_option=False)(lab)
app.command("demo", context_settings=UNPARSED, add_help_option=False)(demo)
app.add_typer(playbooks, name="playbooks")
app.add_typer(causes, name="causes")
app.add_typer(known_issues, name="known-issues")
app.add_typer(probes, name="probes")
