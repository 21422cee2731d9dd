"""What a person can press or choose in a message, and the dialog that asks first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

from markupsafe import Markup
from nicegui import ui
from nicegui.element import Element

from bot.lab.slack.page.blocks import Context, block_html, image_html, text_html
from bot.lab.slack.page.choosing import draw_choice, is_choice, options_of
from bot.lab.slack.page.elements import Handler, button, html, icon, tag
from bot.lab.slack.page.shape import inner, items, string
from bot.lab.types import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Press:
    """A press or a choice: of a button its value, of a list what is chosen now."""

    block_id: str
    action_id: str
    kind: str
    value: str | list[str]


Act = Callable[[Press], Awaitable[object]]


def draw_blocks(blocks: list[Json], context: Context, act: Act) -> None:
    """Every block, in order, into the current element."""
    still: list[Markup] = []
    for block in blocks:
        if _is_still(block):
            still.append(block_html(block, context))
            continue
        _flush(still)
        _draw_lively(block, context, act)
    _flush(still)


def _flush(still: list[Markup]) -> None:
    """Blocks that only show something go out as one element: a browser holds thousands of messages then."""
    if still:
        html(Markup().join(still), classes="blocks")
        still.clear()


def _is_still(block: Json) -> bool:
    kind = block.get("type")
    if kind == "section":
        accessory = inner(block, "accessory")
        return not accessory
    return kind not in {"actions", "context_actions"}


def _draw_lively(block: Json, context: Context, act: Act) -> None:
    if block.get("type") == "section":
        with tag("div", "blocks with-accessory"):
            html(block_html(block, context), classes="beside")
            accessory = inner(block, "accessory")
            if accessory.get("type") == "image":
                html(image_html(accessory, context), classes="thumb")
            else:
                draw_control(accessory, string(block, "block_id"), context, act)
        return
    with tag("div", "blocks actions"):
        for element in items(block, "elements"):
            draw_control(element, string(block, "block_id"), context, act)


def draw_control(element: Json, block_id: str, context: Context, act: Act) -> None:
    """One interactive element."""
    kind = string(element, "type")
    if kind in {"button", "workflow_button", "icon_button"}:
        _Button(element, block_id, context, act).draw()
    elif kind == "feedback_buttons":
        for name in ("positive_button", "negative_button"):
            shown = {**inner(element, name), "action_id": string(element, "action_id"), "type": kind}
            _Button(shown, block_id, context, act).draw()
    elif kind == "overflow":
        _overflow(element, block_id, context, act)
    elif is_choice(element):
        _choice(element, block_id, context, act)
    else:
        html(Markup('<span class="undrawn">(“{}” is not drawn here)</span>').format(kind), "span")


class _Button:
    """A button that asks first when it has a confirm dialog, and waits until its press was answered."""

    def __init__(self, element: Json, block_id: str, context: Context, act: Act) -> None:
        self.element = element
        self.block_id = block_id
        self.context = context
        self.act = act

    def draw(self) -> None:
        style = string(self.element, "style")
        classes = f"btn {style}" if style in {"primary", "danger"} else "btn"
        label = text_html(self.element.get("text"), self.context) or Markup("{}").format(string(self.element, "icon"))
        url = string(self.element, "url")
        self.drawn = button(label, self.press, classes, data_action=string(self.element, "action_id"))
        name = string(self.element, "accessibility_label")
        if name:
            self.drawn.props["aria-label"] = name
        if url.startswith(("https://", "http://")):
            self.drawn.props["title"] = url

    async def press(self) -> None:
        if not await agreed(inner(self.element, "confirm"), self.context):
            return
        self.drawn.props["disabled"] = True
        try:
            await self.act(press_of(self.element, self.block_id, string(self.element, "value")))
        finally:
            if not self.drawn.is_deleted:
                self.drawn.props.pop("disabled", None)


def press_of(element: Json, block_id: str, value: str | list[str]) -> Press:
    """The press of an element in a block."""
    action_id, kind = string(element, "action_id"), string(element, "type")
    return Press(block_id=block_id, action_id=action_id, kind=kind, value=value)


async def agreed(confirm: Json, context: Context) -> bool:
    """What the person answers to a confirm dialog; True where there is none."""
    if not confirm:
        return True
    with ui.dialog() as dialog, tag("div", "modal small", role="document"):
        html(text_html(confirm.get("title"), context), "h2")
        html(text_html(confirm.get("text"), context), classes="text modal-body")
        with tag("div", "modal-foot"):
            button(text_html(confirm.get("deny"), context) or "Cancel", lambda: dialog.submit(False))
            style = "danger" if confirm.get("style") == "danger" else "primary"
            label = text_html(confirm.get("confirm"), context) or "OK"
            button(label, lambda: dialog.submit(True), f"btn {style}")
    answer = await dialog
    if not dialog.is_deleted:  # the window may have been closed meanwhile
        dialog.delete()
    return answer is True


def _overflow(element: Json, block_id: str, context: Context, act: Act) -> None:
    with menu_button(icon("more"), "btn icon-only", aria_label="More actions"):
        for option in options_of(element):
            press = press_of(element, block_id, string(option, "value"))
            menu_item(text_html(option.get("text"), context), lambda press=press: _asked(element, context, act, press))


def menu() -> ui.menu:
    """A menu of the element around it, opened by a click on that; to be filled with `menu_item`."""
    made = ui.menu()
    made.props["role"] = "menu"
    return made


@contextmanager
def menu_button(label: Markup, classes: str, **attributes: str) -> Generator[None]:
    """A button with a menu, which is filled in the block."""
    with tag("span", "menu-around"):  # raw HTML, as in a button's label, has no place for a menu
        button(label, lambda: None, classes, aria_haspopup="menu", **attributes)
        with menu():
            yield


def menu_item(label: Markup | str, handler: Handler) -> Element:
    """A line of the menu that is being filled."""
    with ui.menu_item(on_click=handler).classes("menu-line") as line:
        line.props["role"] = "menuitem"
        html(label, "span")
    return line


async def _asked(element: Json, context: Context, act: Act, press: Press) -> None:
    if await agreed(inner(element, "confirm"), context):
        await act(press)


def _choice(element: Json, block_id: str, context: Context, act: Act) -> None:
    async def chosen(value: str | list[str]) -> None:
        await _asked(element, context, act, press_of(element, block_id, value))

    draw_choice(element, context.directory, chosen)
