"""`cnibot alerts`: what would happen with an alert, and whether your routes load."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from bot.cli.common import PlaybooksDirs, begin, errors_explained, knowledge_of, say
from bot.domain.errors import ConfigurationError
from bot.domain.foreign import read_file
from bot.domain.redact import redacted

if TYPE_CHECKING:
    from bot.alerts.operator_routes import Route
    from bot.alerts.routing import Routed

alerts = typer.Typer(help="Alerts: where one leads and why, and whether your routes load.", no_args_is_help=True)

MAX_BYTES = 16 << 20
Routes = Annotated[
    Path | None,
    typer.Option("--routes", help="Your routes; those of CNIBOT_ALERT_ROUTES by default.", dir_okay=False),
]


@alerts.command("route")
def route_payload(
    file: Annotated[
        Path,
        typer.Option(
            "--file",
            help="A webhook payload of Alertmanager's; - reads standard input.",
            allow_dash=True,
            dir_okay=False,
        ),
    ],
    routes: Routes = None,
    output: Annotated[Literal["text", "json"], typer.Option("--output", "-o")] = "text",
    playbooks_dir: PlaybooksDirs = None,
) -> None:
    """Say for each alert of a payload what would be diagnosed, and which rule decides. Nothing is diagnosed."""
    from bot.alerts.payload import NotAPayloadError, read_notification  # noqa: PLC0415 only this command needs it
    from bot.alerts.routing import route  # noqa: PLC0415

    with errors_explained():
        operators = _loaded(routes, playbooks_dir)
        try:
            body = sys.stdin.buffer.read(MAX_BYTES + 1) if str(file) == "-" else read_file(file, MAX_BYTES)
        except OSError as error:
            raise ConfigurationError(str(file), f"reading failed: {error.strerror or error}") from error
        if len(body) > MAX_BYTES:
            raise ConfigurationError(str(file), f"it is larger than {MAX_BYTES >> 20} MiB")
        try:
            notification = read_notification(body)
        except NotAPayloadError as error:
            raise ConfigurationError(str(file), f"it is no webhook payload of Alertmanager's: {error.why}") from error
        found = [route(alert, operators) for alert in notification.alerts]
    if output == "json":
        safe = redacted([_as_json(one) for one in found], "json")
        say(json.dumps(safe, indent=2, ensure_ascii=False), sink="json")
        return
    for one in found:
        say("\n".join(map(_line, _as_text(one))))


@alerts.command("check")
def check_routes(routes: Routes = None, playbooks_dir: PlaybooksDirs = None) -> None:
    """Load your routes; every mistake with its file and line, exit code 2."""
    with errors_explained():
        count = len(_loaded(routes, playbooks_dir))
    say(f"{count} routes: no mistakes found.")


def _loaded(routes: Path | None, playbooks_dir: list[Path] | None) -> "tuple[Route, ...]":
    from bot.alerts.operator_routes import load_routes  # noqa: PLC0415

    settings = begin()
    path = routes or settings.alert_routes
    if path is None:
        return ()
    return load_routes(path, {each.name for each in knowledge_of(settings, playbooks_dir).playbooks})


def _as_text(one: "Routed") -> list[str]:
    alert = one.alert
    severity = f" ({one.severity})" if one.severity else ""
    target = str(one.scope) if one.scope else "nothing"
    more = [f"  {name}: {value}" for name, value in (("playbook", one.playbook), ("channel", one.channel)) if value]
    return [f"{alert.name or 'unnamed alert'} {alert.status}{severity} -> {target}  [{one.rule}]",
            *(f"  {sentence}" for sentence in one.why), *more]  # fmt: skip


def _line(text: str) -> str:
    """Without what labels could do to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def _as_json(one: "Routed") -> dict[str, object]:
    scope = one.scope
    return {
        "alertname": one.alert.name,
        "fingerprint": one.alert.fingerprint,
        "status": one.alert.status,
        "severity": one.severity,
        "scope": None
        if scope is None
        else {
            name: value
            for name, value in (
                ("kind", scope.kind), ("namespace", scope.namespace), ("name", scope.name),
                ("workload", scope.workload),
            )
            if value
        },
        "rule": one.rule,
        "why": list(one.why),
        "playbook": one.playbook,
        "channel": one.channel,
    }  # fmt: skip
