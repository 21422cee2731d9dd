"""`cnibot lab …` and `cnibot demo`: the commands of the lab, which is an extra and imported only here.

Both are loaded when they are typed or completed, so that `cnibot --help` needs none of it.
"""

from functools import cached_property
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from bot.cli.common import USAGE, fail


class LabGroup(TyperGroup):
    """The lab's own commands, and the gym."""

    @cached_property
    def _loaded(self) -> TyperGroup:
        from bot.cli.gym import gym  # noqa: PLC0415 the lab is an extra
        from bot.lab.cluster.commands import app as lab_app  # noqa: PLC0415

        whole = typer.Typer(no_args_is_help=True)
        whole.registered_commands = list(lab_app.registered_commands)
        whole.command("gym")(gym)
        group = typer.main.get_command(whole)
        assert isinstance(group, TyperGroup)
        return group

    def _whole(self, context: Any) -> TyperGroup | None:
        """The commands; none for a shell that completes, where the lab is not installed."""
        try:
            return self._loaded
        except ModuleNotFoundError as error:
            if context.resilient_parsing:
                return None
            fail(_missing("lab", error), USAGE)

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names."""
        whole = self._whole(ctx)
        return whole.list_commands(ctx) if whole else []

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of them."""
        whole = self._whole(ctx)
        return whole.get_command(ctx, cmd_name) if whole else None


class DemoCommand(TyperCommand):
    """The demo with its options."""

    @cached_property
    def _loaded(self) -> Any:
        from bot.cli.demo import demo as story  # noqa: PLC0415 the lab is an extra

        typed = typer.Typer(add_completion=False)
        typed.command()(story)
        return typer.main.get_command(typed)

    def get_params(self, ctx: Any) -> list[Any]:
        """Its options."""
        try:
            return self._loaded.get_params(ctx)
        except ModuleNotFoundError as error:
            if ctx.resilient_parsing:
                return []
            fail(_missing("demo", error), USAGE)

    def invoke(self, ctx: Any) -> Any:
        """Run it."""
        return self._loaded.invoke(ctx)


lab = typer.Typer(
    cls=LabGroup,
    help="A cluster in network namespaces on this machine: up, down, status, exec, break, heal, faults, gym.",
    no_args_is_help=True,
)


def demo() -> None:
    """A cluster, a Slack workspace and the bot, to try in the browser; with --scripted, the founding story printed."""


def _missing(what: str, error: ModuleNotFoundError) -> str:
    if (error.name or "").startswith("bot."):
        return f"This installation has no {what}: it is part of the source. Clone the repository and run: make demo"
    return f"The {what} needs more packages ({error.name} is missing): pip install 'cnibot[lab]'"
