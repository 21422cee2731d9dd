"""One message: face, name and time, content, files, reactions, its thread, and what can be done with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup
from nicegui.events import GenericEventArguments

from bot.lab.slack.message import Ephemeral, Message
from bot.lab.slack.page import dates
from bot.lab.slack.page.attachments import attachment_html, colour_of
from bot.lab.slack.page.blocks import Context
from bot.lab.slack.page.controls import Act, draw_blocks, menu, menu_item
from bot.lab.slack.page.elements import Handler, button, html, icon, tag
from bot.lab.slack.page.emoji import emoji_html
from bot.lab.slack.page.entries import Entry
from bot.lab.slack.page.files import file_html
from bot.lab.slack.page.mrkdwn import mrkdwn
from bot.lab.slack.page.people import Author, author
from bot.lab.slack.page.shape import items
from bot.lab.slack.workspace_state import WorkspaceState
from bot.lab.types import Json

_QUICK: Final = ("white_check_mark", "eyes", "+1", "pray", "tada")


@dataclass(frozen=True, slots=True, kw_only=True)
class Deeds:
    """What can be done with messages in this list. Deeds that make no sense here are None."""

    act: Callable[[str], Act]
    """By the message's ts."""
    react: Callable[[str, str], Awaitable[object]]
    shortcut: Callable[[str, str], Awaitable[object]]
    opens_threads: bool
    """The page's script says which one is asked for, and `Session` opens it."""
    shortcuts: dict[str, str]
    """Names by callback id."""


def draw_message(entry: Entry, state: WorkspaceState, context: Context, deeds: Deeds) -> None:
    """Draw into the current element."""
    message = entry.message
    if entry.begins_day:
        day = dates.day(context.directory.at(float(message.ts)), context.now)
        html(Markup("<span>{}</span>").format(day), classes="day", role="separator")
    who = author(message, state)
    kind = "message ephemeral" if isinstance(message, Ephemeral) else "message"
    with tag("article", f"{kind} compact" if entry.is_compact else kind, data_ts=message.ts) as article:
        article.props["aria-label"] = f"{who.name}, {dates.clock(context.directory.at(float(message.ts)))}"
        html(_margin(entry, who, context), classes="margin")
        with tag("div", "content"):
            html(_head(entry, who, context), classes="head")
            _draw_body(message, context, deeds)
            if isinstance(message, Message):
                _draw_reactions(message, context, deeds)
            if entry.replies and deeds.opens_threads:
                _draw_replies(entry, context)
        if isinstance(message, Message):
            _draw_tools(message, deeds)


def _margin(entry: Entry, who: Author, context: Context) -> Markup:
    if not entry.is_compact:
        return who.face
    return Markup('<time class="beside-time">{}</time>').format(_clock(entry, context))


def _clock(entry: Entry, context: Context) -> str:
    return dates.clock(context.directory.at(float(entry.message.ts)))


def _head(entry: Entry, who: Author, context: Context) -> Markup:
    ephemeral = Markup()
    if isinstance(entry.message, Ephemeral):
        ephemeral = Markup('<div class="only-you">{} Only visible to you</div>').format(icon("eye"))
    if entry.is_compact:
        return ephemeral
    at = context.directory.at(float(entry.message.ts))
    badge = Markup('<span class="badge">{}</span>').format(who.badge) if who.badge else Markup()
    line = Markup('<b class="name">{}</b>{}<time title="{}">{}</time>')
    return ephemeral + line.format(who.name, badge, dates.full(at), dates.clock(at))


def _draw_body(message: Message | Ephemeral, context: Context, deeds: Deeds) -> None:
    edited = Markup()
    if isinstance(message, Message) and message.edited:
        edited = Markup(' <small class="edited">(edited)</small>')
    if message.blocks and not (isinstance(message, Message) and message.client_msg_id):
        draw_blocks(message.blocks, context, deeds.act(message.ts))
        if edited:
            html(edited, classes="edited-line")
    elif message.text:  # of people too: what they typed, with the formatting that their client would give it
        html(mrkdwn(message.text, context.directory, context.now) + edited, classes="text")
    for attachment in message.attachments:
        _draw_attachment(attachment, message, context, deeds)
    if isinstance(message, Message) and message.files:
        html(Markup().join(file_html(file) for file in message.files), classes="files")


def _draw_attachment(attachment: Json, message: Message | Ephemeral, context: Context, deeds: Deeds) -> None:
    html(attachment_html(attachment, context))
    blocks = items(attachment, "blocks")
    if blocks:
        with tag("div", "attachment").style(f"--bar:{colour_of(attachment)}"):
            draw_blocks(blocks, context, deeds.act(message.ts))


def _draw_reactions(message: Message, context: Context, deeds: Deeds) -> None:
    if not message.reactions:
        return
    with tag("div", "reactions"):
        for name, users in message.reactions.items():
            who = ", ".join(context.directory.user(user) for user in users)
            mine = " mine" if context.directory.viewer in users else ""
            label = Markup("{}<span>{}</span>").format(emoji_html(name), len(users))
            pill = button(label, _deed(deeds.react, message.ts, name), f"reaction{mine}", title=f"{who}: :{name}:")
            pill.props["aria-pressed"] = "true" if mine else "false"


def _draw_replies(entry: Entry, context: Context) -> None:
    count = f"{entry.replies} {'replies' if entry.replies > 1 else 'reply'}"
    latest = context.directory.at(float(entry.latest_reply)) if entry.latest_reply else context.now
    when = dates.formatted("{date_short_pretty} at {time}", latest, context.now)
    label = Markup("<b>{}</b><small>Last reply {}</small>").format(count, when)
    html(label, "button", "replies", type="button", data_thread=entry.message.ts)


_TOOL: Final = Markup('<button type="button" class="tool" data-{0} aria-label="{1}" title="{1}"{2}>{3}</button>')
_MENU: Final = Markup(' aria-haspopup="menu"')
_PRESSED: Final = """(event) => {
  const tool = event.target.closest("[data-tool]");
  if (tool) emit(tool.dataset.tool);
}"""


def _draw_tools(message: Message, deeds: Deeds) -> None:
    """One element with all buttons, and menus only when they are opened: there are as many of these as messages."""
    shown = [_TOOL.format(Markup('tool="react"'), "React", _MENU, icon("smile"))]
    if deeds.opens_threads:
        thread = Markup('thread="{}"').format(message.thread_ts or message.ts)
        shown.append(_TOOL.format(thread, "Reply in thread", "", icon("reply")))
    if deeds.shortcuts:
        shown.append(_TOOL.format(Markup('tool="more"'), "More actions", _MENU, icon("more")))

    async def pressed(event: GenericEventArguments) -> None:
        place.clear()
        with place, menu() as opening:
            (_fill_reactions if event.args == "react" else _fill_shortcuts)(message, deeds)
        opening.open()

    buttons = html(Markup().join(shown), classes="tools", role="toolbar", aria_label="Message")
    buttons.on("click", pressed, js_handler=_PRESSED)
    place = tag("div", "tools menu-place")


def _fill_reactions(message: Message, deeds: Deeds) -> None:
    with tag("div", "quick"):
        for name in _QUICK:
            menu_item(emoji_html(name), _deed(deeds.react, message.ts, name))


def _fill_shortcuts(message: Message, deeds: Deeds) -> None:
    for callback_id, name in deeds.shortcuts.items():
        menu_item(name, _deed(deeds.shortcut, message.ts, callback_id))


def _deed(deed: Callable[[str, str], Awaitable[object]], ts: str, what: str) -> Handler:
    return lambda: deed(ts, what)
