"""`cnibot lab …` and `cnibot demo`: the doors to the lab, which is an extra and imported only here."""

import typer

from bot.cli.common import USAGE, fail


def lab(context: typer.Context) -> None:
    """A cluster in network namespaces on this machine: up, down, status, exec, break, heal, faults, gym."""
    try:
        from bot.cli.gym import gym  # noqa: PLC0415 the lab is an extra
        from bot.lab.commands import app as lab_app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        fail(f"The lab needs more packages ({error.name} is missing): pip install 'cnibot[lab]'", USAGE)
    lab_app.command("gym")(gym)
    lab_app(args=context.args, prog_name="cnibot lab")


def demo(context: typer.Context) -> None:
    """A cluster, a Slack workspace and the bot, to try in the browser; with --scripted, the founding story printed."""
    try:
        from bot.cli.demo import demo as story  # noqa: PLC0415
    except ModuleNotFoundError as error:
        fail(f"The demo needs more packages ({error.name} is missing): pip install 'cnibot[lab]'", USAGE)
    told = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    told.command()(story)
    told(args=context.args, prog_name="cnibot demo")
