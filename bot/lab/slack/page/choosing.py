"""Lists to choose from, dates and times: in messages they act at once, in modals they wait for Submit."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from bot.lab.slack.page.directory import Directory
from bot.lab.slack.page.elements import tag
from bot.lab.slack.page.shape import inner, items, rows, string
from bot.lab.types import Json

Chosen = Callable[[str | list[str]], Awaitable[None]]
_PICKERS = {"datepicker": "date", "timepicker": "time"}


def is_choice(element: Json) -> bool:
    """Is this an element that `draw_choice` draws?"""
    kind = string(element, "type")
    return kind.endswith("_select") or kind in _PICKERS or kind in {"radio_buttons", "checkboxes"}


def draw_choice(element: Json, directory: Directory, chosen: Chosen, *, now: str | list[str] | None = None) -> None:
    """Draw into the current element; ``now`` is what is chosen already, None: what the app proposed."""
    kind = string(element, "type")
    if kind in _PICKERS:
        _picker(element, _PICKERS[kind], chosen, now)
        return
    known = selectable(element, directory)
    values = initial_values(element) if now is None else [now] if isinstance(now, str) else now
    values = [value for value in values if value in known]
    if kind == "radio_buttons":
        ui.radio(known, value=next(iter(values), None), on_change=lambda event: chosen(str(_value(event))))
    elif kind == "checkboxes":
        _checkboxes(known, values, chosen)
    else:
        _select(element, known, values, chosen)


def options_of(element: Json) -> list[Json]:
    """The options of a select or a menu, those of groups one after the other."""
    groups = items(element, "option_groups")
    return items(element, "options") + [option for group in groups for option in items(group, "options")]


def selectable(element: Json, directory: Directory) -> dict[str, str]:
    """What can be chosen: the value that goes back, and what the person reads."""
    match string(element, "type").removeprefix("multi_"):
        case "users_select":
            return {key: f"@{name}" for key, name in directory.users.items()}
        case "channels_select" | "conversations_select":
            return {key: f"#{name}" for key, name in directory.channels.items()}
        case _:
            return {string(one, "value"): string(inner(one, "text"), "text") for one in options_of(element)}


def initial_values(element: Json) -> list[str]:
    """What the app proposed."""
    found = [string(option, "value") for option in items(element, "initial_options")]
    found += [string(inner(element, "initial_option"), "value")]
    found += [string(element, f"initial_{what}") for what in ("user", "channel", "conversation")]
    for what in ("users", "channels", "conversations"):
        found += [str(value) for value in rows(element, f"initial_{what}")]
    return [value for value in found if value]


def _value(event: ValueChangeEventArguments[Any]) -> Any:
    return event.value


def _select(element: Json, known: dict[str, str], values: list[str], chosen: Chosen) -> None:
    is_multi = string(element, "type").startswith("multi_")
    select = ui.select(
        known,
        value=values if is_multi else next(iter(values), None),
        multiple=is_multi,
        on_change=lambda event: chosen(_value(event) or ([] if is_multi else "")),
    ).classes("select")
    select.props["label"] = string(inner(element, "placeholder"), "text") or "Choose"
    select.props["outlined"] = select.props["dense"] = True


def _picker(element: Json, what: str, chosen: Chosen, now: str | list[str] | None) -> None:
    value = now if isinstance(now, str) else string(element, f"initial_{what}")
    picker = ui.input(value=value, on_change=lambda event: chosen(str(_value(event) or "")))
    picker.props["type"] = what
    picker.props["outlined"] = picker.props["dense"] = True
    picker.props["aria-label"] = string(inner(element, "placeholder"), "text") or what


def _checkboxes(known: dict[str, str], values: list[str], chosen: Chosen) -> None:
    now = set(values)

    async def changed(value: str, *, is_set: bool) -> None:
        if is_set:
            now.add(value)
        else:
            now.discard(value)
        await chosen([key for key in known if key in now])

    with tag("div", "checkboxes"):
        for value, label in known.items():
            ui.checkbox(
                label,
                value=value in now,
                on_change=lambda event, value=value: changed(value, is_set=bool(_value(event))),
            )
