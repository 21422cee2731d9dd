"""One browser window: who sits there, what they look at, and what they do."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass, replace
from datetime import datetime
from urllib.parse import urlencode

from markupsafe import Markup
from nicegui import ui
from nicegui.events import GenericEventArguments

from bot.lab.slack.model import Channel, User, View
from bot.lab.slack.page import files
from bot.lab.slack.page.blocks import Context
from bot.lab.slack.page.composer import Composer
from bot.lab.slack.page.controls import Act, Press, draw_blocks
from bot.lab.slack.page.elements import button, html, icon, tag
from bot.lab.slack.page.entries import Entry, channel_entries, thread_entries
from bot.lab.slack.page.lab_panel import LabPanel
from bot.lab.slack.page.message_view import Deeds, draw_message
from bot.lab.slack.page.modal import ModalView
from bot.lab.slack.page.page_actions import PageActions
from bot.lab.slack.page.page_context import PageContext
from bot.lab.slack.page.people import directory, role
from bot.lab.slack.page.reading import channels_of, people
from bot.lab.slack.page.shape import string
from bot.lab.slack.page.sidebar import HOME, Line, Sidebar, SidebarState
from bot.lab.slack.page.timeline import Timeline
from bot.lab.slack.page.typing import encoded, split_command
from bot.lab.slack.workspace_state import WorkspaceState


@dataclass(frozen=True, slots=True, kw_only=True)
class Looking:
    """Who looks at what. ``place`` is a channel's id or `HOME`, ``thread`` a root's ts or empty."""

    user: str
    place: str
    thread: str = ""
    is_in_lab: bool = False
    is_side_open: bool = False


class Session:
    """Draws the window once, then redraws what a change of the workspace touched."""

    def __init__(self, context: PageContext, looking: Looking) -> None:
        self.page = context
        self.state = context.workspace.state
        self.looking = looking
        self.actions = PageActions(context.workspace)
        self._seen = -1
        self._home_shown = ("", "")
        self._dark = ui.dark_mode(None)
        self._draw()
        self.refresh()
        ui.timer(0.1, self._check)
        ui.on("permalink", self._follow)
        ui.on("thread", self._open_thread)
        ui.on("leave", self._leave)

    # --- the frame

    def _draw(self) -> None:
        ui.query("main.q-page").props("role=none")  # the framework's: it holds the sidebar, too
        with tag("div", "app") as self._app:
            self._sidebar = Sidebar(self.go, self.sit, self._darken)
            with tag("main", "main"):
                with tag("header", "bar"):
                    button(
                        icon("menu"), lambda: self._look(is_side_open=True), "tool only-phone", aria_label="Channels"
                    )
                    self._title = tag("div", "bar-title")
                    button(icon("flask") + "Lab", self._toggle_lab, "btn lab-button", aria_label="Lab")
                with tag("div", "channel") as self._channel_box:
                    self._timeline = Timeline("Messages")
                    self._composer = Composer(self.state, self.page.hints, lambda text: self._send(text, ""))
                self._home = tag("div", "home", tabindex="0")
            with tag("aside", "panel", aria_label="Thread") as self._thread_box:
                self._thread_head = tag("div", "panel-head")
                self._thread = Timeline("Replies")
                self._reply = Composer(self.state, (), lambda text: self._send(text, self.looking.thread))
            with tag("aside", "panel", aria_label="Lab") as self._lab_box:
                self._lab = LabPanel(self.page, self.actions, self._toggle_lab)
            tag("div", "veil").on("click", lambda _: self._look(is_side_open=False), args=[])
        self._modal = ModalView(self.actions)

    async def _leave(self) -> None:
        """Close what lies over the channel, the topmost first."""
        looking = self.looking
        views = self.state.stacks.get(looking.user)
        if views:
            await self.actions.close(looking.user, views[-1].id)
            self._check()
        elif looking.is_side_open:
            self._look(is_side_open=False)
        elif looking.is_in_lab:
            self._look(is_in_lab=False)
        elif looking.thread:
            self._look(thread="")

    def _check(self) -> None:
        if self._seen != self.state.changes.count:
            self.refresh()

    def refresh(self) -> None:
        """Draw what is not as it should be."""
        self._seen = self.state.changes.count
        looking = self.looking
        context = self._context()
        channel = self.state.channels.get(looking.place)
        if channel is not None:
            self.page.reading.read(looking.user, channel)
        self._show_frame(channel)
        self._show_sidebar(context)
        if channel is not None:
            entries = channel_entries(self.state, channel, context.directory)
            self._timeline.show(entries, lambda entry: self._message(entry, channel, context, is_thread=False))
        if channel is not None and looking.thread:
            entries = thread_entries(self.state, channel, looking.thread, context.directory)
            self._thread.show(entries, lambda entry: self._message(entry, channel, context, is_thread=True))
        if looking.place == HOME:
            self._show_home(context)
        stack = self.state.stacks.get(looking.user) or [None]
        self._modal.show(stack[-1], context, self._act_in_view(stack[-1]))

    def _context(self) -> Context:
        return Context(
            directory=directory(self.state, self.looking.user),
            now=datetime.now().astimezone(),
            picture=lambda url: files.picture_of(self.state, url),
        )

    def _show_frame(self, channel: Channel | None) -> None:
        looking = self.looking
        self._channel_box.set_visibility(channel is not None)
        self._home.set_visibility(channel is None)
        self._thread_box.set_visibility(bool(channel and looking.thread and not looking.is_in_lab))
        self._lab_box.set_visibility(looking.is_in_lab)
        self._app.classes(
            add="side-open" if looking.is_side_open else "", remove="" if looking.is_side_open else "side-open"
        )

    def _show_sidebar(self, context: Context) -> None:
        user = self.state.users[self.looking.user]
        mine = channels_of(self.state, user)
        self._sidebar.show(
            SidebarState(
                team=f"{self.state.teams[user.team_id].name} workspace",
                user=user,
                people=tuple((one.id, one.name, role(one) or one.title) for one in people(self.state)),
                lines=tuple(
                    Line(
                        id=one.id,
                        name=one.name,
                        is_shared=one.is_ext_shared,
                        mark=self.page.reading.mark(one, context.directory),
                    )
                    for one in mine
                ),
                app_name=self.state.bot_app().name,
                place=self.looking.place,
            )
        )

    def _message(self, entry: Entry, channel: Channel, context: Context, *, is_thread: bool) -> None:
        deeds = Deeds(
            act=lambda ts: lambda press: self._run(self.actions.press(self.looking.user, channel.id, ts, press)),
            react=lambda ts, name: self._run(self.actions.react(self.looking.user, channel.id, ts, name)),
            shortcut=lambda ts, name: self._run(self.actions.shortcut(self.looking.user, channel.id, ts, name)),
            opens_threads=not is_thread,
            shortcuts=dict(self.page.shortcuts),
        )
        draw_message(entry, self.state, context, deeds)

    # --- going places

    def go(self, place: str) -> None:
        """Look at a channel or at the Home tab."""
        self._look(place=place, thread="", is_side_open=False)

    def sit(self, user: str) -> None:
        """Become another person; the place stays when they may see it."""
        mine = channels_of(self.state, self.state.users[user])
        stays = self.looking.place == HOME or self.looking.place in {channel.id for channel in mine}
        place = self.looking.place if stays else mine[0].id
        self._look(user=user, place=place, thread=self.looking.thread if stays else "", is_side_open=False)

    def _look(self, **new: str | bool) -> None:
        before = self.looking
        self.looking = replace(before, **new)
        if (before.user, before.place) != (self.looking.user, self.looking.place):
            self._timeline.clear()
            self._home_shown = ("", "")
        if (before.user, before.thread) != (self.looking.user, self.looking.thread):
            self._thread.clear()
        self.refresh()
        if (before.user, before.place, before.thread) != (self.looking.user, self.looking.place, self.looking.thread):
            self.arrived()
            ui.navigate.history.replace(self._address())  # a page that is loaded again shows the same

    def _address(self) -> str:
        user, channel = self.state.users[self.looking.user], self.state.channels.get(self.looking.place)
        return "/?" + urlencode({"user": user.name, "channel": channel.name if channel else self.looking.place})

    def arrived(self) -> None:
        """Write the headings of a new place."""
        for heading in (self._title, self._thread_head, self._timeline.beginning):
            heading.clear()
        channel = self.state.channels.get(self.looking.place)
        with self._title:
            if channel is None:
                html(self.state.bot_app().name, "h1")
                html("App · Home", "p")
            else:
                html(icon("globe" if channel.is_ext_shared else "hash") + channel.name, "h1")
                html(channel.topic or channel.purpose or f"{len(channel.members)} members", "p")
        if channel is None:
            ui.timer(0, lambda: self.actions.open_home(self.looking.user), once=True)
            return
        with self._timeline.beginning:
            html(f"This is the very beginning of #{channel.name}", "h2")
            html(_advice(self.state, channel), "p")
        self._composer.placed(f"Message #{channel.name}")
        self._composer.focus()
        if self.looking.thread:
            with self._thread_head:
                html("Thread", "h2")
                button(icon("close"), lambda: self._look(thread=""), "tool", aria_label="Close the thread")
            self._reply.placed("Reply…")

    def _open_thread(self, event: GenericEventArguments) -> None:
        self._enter(self.looking.place, string(event.args, "ts"))
        self._reply.focus()

    def _follow(self, event: GenericEventArguments) -> None:
        """Go where a link to a message leads."""
        self._enter(string(event.args, "channel"), string(event.args, "ts"))

    def _enter(self, place: str, ts: str) -> None:
        if place not in {one.id for one in channels_of(self.state, self.state.users[self.looking.user])}:
            ui.notify("That message is in a channel that you do not see.", position="bottom-left", type="warning")
        elif ts not in self.state.channels[place].messages:
            ui.notify("That message is gone.", position="bottom-left", type="warning")
        else:
            self._look(place=place, thread=ts, is_in_lab=False, is_side_open=False)

    async def _toggle_lab(self) -> None:
        self._look(is_in_lab=not self.looking.is_in_lab)
        if self.looking.is_in_lab:
            await self._lab.refresh()

    def _darken(self) -> None:
        self._dark.value = not self._dark.value

    # --- doing things

    async def _send(self, text: str, thread: str) -> bool:
        user, place = self.looking.user, self.looking.place
        command = split_command(text)
        if command and thread:
            ui.notify(f"{command[0]} is not supported in threads. Sorry!", position="bottom-left", type="warning")
            return False
        if command:
            name, rest = command
            return await self._run(self.actions.slash(user, place, name, encoded(rest, self.state)))
        return await self._run(self.actions.say(user, place, encoded(text.strip(), self.state), thread))

    def _act_in_view(self, view: View | None) -> Act:
        async def act(press: Press) -> None:
            if view is not None:
                await self._run(self.actions.press_in_view(self.looking.user, view.id, press))

        return act

    async def _run(self, deed: Awaitable[str]) -> bool:
        """Do it; what went wrong is said in the corner."""
        problem = await deed
        if problem:
            ui.notify(problem, position="bottom-left", type="warning")
        self._check()
        return not problem

    def _show_home(self, context: Context) -> None:
        view = self.state.homes.get((self.state.bot_app().id, self.looking.user))
        shown = (view.id, view.hash) if view else ("", "none")
        if shown == self._home_shown:
            return
        self._home_shown = shown
        self._home.clear()
        with self._home:
            if view is None:
                html("This app has not published anything on its Home tab yet.", "p", "empty")
            else:
                with tag("div", "home-page"):
                    draw_blocks(view.blocks, context, self._act_in_view(view))


def _advice(state: WorkspaceState, channel: Channel) -> Markup:
    """What a newcomer can do in a channel."""
    app = state.bot_app()
    if app.bot_user not in channel.members:
        return Markup("@{} is not in this channel: what it has to say here, only you will see.").format(app.name)
    return Markup("Type <code>{}</code> to see what @{} can do, or break something under “Lab” first.").format(
        min(app.commands, default="@"), app.name
    )


def looking_at(context: PageContext, user: str, channel: str) -> Looking:
    """Where a new window starts: as asked, else as the first person in their first channel."""
    state = context.workspace.state
    seated: User = next((one for one in people(state) if one.name == user), people(state)[0])
    mine = channels_of(state, seated)
    place = next((one.id for one in mine if one.name == channel), HOME if channel == HOME else mine[0].id)
    return Looking(user=seated.id, place=place)
