"""`cnibot lab …` and `cnibot demo`: the doors to the lab, which is an extra and imported only here."""

from typing import Annotated

import typer

from bot.cli.common import USAGE, fail


def _words(context: typer.Context, args: list[str], incomplete: str) -> list[str]:
    """What can come next, for the shell."""
    del args
    try:
        from bot.lab.cluster.commands import app as lab_app  # noqa: PLC0415 the lab is an extra
        from bot.lab.cluster.faults.registry import all_faults  # noqa: PLC0415
    except ModuleNotFoundError:
        return []
    typed = [str(word) for word in context.params.get("words") or ()]
    known = {"gym", *(one.name or one.callback.__name__ for one in lab_app.registered_commands if one.callback)}
    offered = known if not typed else set(all_faults()) if typed == ["break"] else set[str]()
    return sorted(word for word in offered if word.startswith(incomplete))


def lab(
    words: Annotated[
        list[str] | None, typer.Argument(autocompletion=_words, metavar="COMMAND …", show_default=False)
    ] = None,
) -> None:
    """A cluster in network namespaces on this machine: up, down, status, exec, break, heal, faults, gym."""
    try:
        from bot.cli.gym import gym  # noqa: PLC0415 the lab is an extra
        from bot.lab.cluster.commands import app as lab_app  # noqa: PLC0415
    except ModuleNotFoundError as error:
        fail(_missing("lab", error), USAGE)
    lab_app.command("gym")(gym)
    lab_app(args=words or [], prog_name="cnibot lab")


def demo(context: typer.Context) -> None:
    """A cluster, a Slack workspace and the bot, to try in the browser; with --scripted, the founding story printed."""
    try:
        from bot.cli.demo import demo as story  # noqa: PLC0415
    except ModuleNotFoundError as error:
        fail(_missing("demo", error), USAGE)
    typed = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    typed.command()(story)
    typed(args=context.args, prog_name="cnibot demo")


def _missing(what: str, error: ModuleNotFoundError) -> str:
    if (error.name or "").startswith("bot."):
        return f"This installation has no {what}: it is part of the source. Clone the repository and run: make demo"
    return f"The {what} needs more packages ({error.name} is missing): pip install 'cnibot[lab]'"
