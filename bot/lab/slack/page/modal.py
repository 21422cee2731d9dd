"""The modal that an app opened for the person at the page."""

from __future__ import annotations

from markupsafe import Markup
from nicegui import ui
from nicegui.element import Element

from bot.lab.slack.model import View
from bot.lab.slack.page.blocks import Context, text_html
from bot.lab.slack.page.choosing import draw_choice, is_choice
from bot.lab.slack.page.controls import Act, draw_blocks, draw_control
from bot.lab.slack.page.elements import button, html, icon, tag
from bot.lab.slack.page.page_actions import PageActions
from bot.lab.slack.page.shape import inner, number, string
from bot.lab.types import Json

_INPUTS = {"number_input": "number", "email_text_input": "email", "url_text_input": "url"}
Typed = dict[str, str | list[str]]


class ModalView:
    """Shows the top of a person's stack of views; what was typed survives an update by the app."""

    def __init__(self, actions: PageActions) -> None:
        self.actions = actions
        self._dialog = ui.dialog()
        self._dialog.props["persistent"] = self._dialog.props["no-backdrop-dismiss"] = True
        self._shown = ("", "")
        self._typed: Typed = {}
        self._errors: dict[str, Element] = {}

    def show(self, view: View | None, context: Context, act: Act) -> None:
        """Open, redraw or close; nothing when the view is as it was."""
        shown = (view.id, view.hash) if view else ("", "")
        if shown == self._shown:
            return
        if view is None or view.id != self._shown[0]:
            self._typed = {}
        self._shown = shown
        self._dialog.clear()
        self._errors = {}
        if view is None:
            self._dialog.close()
            return
        self._dialog.props["aria-label"] = view.title
        with self._dialog:
            self._draw(view, context, act)
        self._dialog.open()

    def _draw(self, view: View, context: Context, act: Act) -> None:
        payload = view.payload
        with tag("div", "modal", role="document", data_view=view.callback_id):
            with tag("div", "modal-head"):
                html(view.title, "h2")
                button(icon("close"), lambda: self.actions.close(view.user, view.id), "tool", aria_label="Close")
            inputs = [block for block in view.blocks if block.get("type") == "input"]
            scrolls = {} if inputs else {"tabindex": "0"}  # so that the keyboard scrolls what it cannot type into
            with tag("div", "modal-body", **scrolls):
                for block in view.blocks:
                    if block.get("type") == "input":
                        self._draw_input(block, context, is_first=block is inputs[0])
                    else:
                        draw_blocks([block], context, act)
                self._problem = tag("div", "modal-problem", role="alert")
            with tag("div", "modal-foot"):
                label = text_html(payload.get("close"), context) or "Close"
                button(label, lambda: self.actions.close(view.user, view.id))
                if payload.get("submit"):
                    submit = text_html(payload.get("submit"), context)
                    self._submit = button(submit, lambda: self._submitted(view), "btn primary submit")

    def _draw_input(self, block: Json, context: Context, *, is_first: bool) -> None:
        element = inner(block, "element")
        block_id, action_id = string(block, "block_id"), string(element, "action_id")
        optional = Markup(" <small>(optional)</small>") if block.get("optional") else Markup()
        with tag("div", "input"):
            html(text_html(block.get("label"), context) + optional, "label", _for=f"input-{action_id}")

            async def chosen(value: str | list[str]) -> None:
                self._typed[action_id] = value

            if is_choice(element):
                draw_choice(element, context.directory, chosen, now=self._typed.get(action_id))
            elif string(element, "type") == "plain_text_input" or string(element, "type") in _INPUTS:
                self._draw_text(element, string(inner(block, "label"), "text"), is_first=is_first)
            else:
                draw_control(element, block_id, context, _nothing)
            hint = text_html(block.get("hint"), context)
            if hint:
                html(hint, classes="hint")
            self._errors[block_id] = tag("div", "input-error", role="alert")

    def _draw_text(self, element: Json, label: str, *, is_first: bool) -> None:
        action_id = string(element, "action_id")
        value = self._typed.setdefault(action_id, string(element, "initial_value"))
        make = ui.textarea if element.get("multiline") else ui.input
        field = make(value=str(value), on_change=lambda event: self._typed.update({action_id: str(event.value or "")}))
        field.props["outlined"] = field.props["dense"] = True
        field.props["for"] = f"input-{action_id}"
        field.props["aria-label"] = label
        field.props["placeholder"] = string(inner(element, "placeholder"), "text")
        field.props["type"] = "textarea" if element.get("multiline") else _INPUTS.get(string(element, "type"), "text")
        field.props["rows"] = "5"
        if is_first:
            field.props["autofocus"] = True
        if number(element, "max_length"):
            field.props["maxlength"] = str(int(number(element, "max_length")))

    async def _submitted(self, view: View) -> None:
        self._submit.props["disabled"] = True
        for slot in [*self._errors.values(), self._problem]:
            slot.clear()
        try:
            answer = await self.actions.submit(view.user, view.id, self._typed)
        finally:
            if not self._submit.is_deleted:
                self._submit.props.pop("disabled", None)
        for block_id, sentence in answer.errors.items():
            self._say(self._errors.get(block_id, self._problem), sentence)
        if answer.problem:
            self._say(self._problem, answer.problem)

    @staticmethod
    def _say(slot: Element, sentence: str) -> None:
        if not slot.is_deleted:
            with slot:
                html(sentence, "span")


async def _nothing(_press: object) -> None:
    """An element that this page draws but does not send."""
