"""Breaking and healing: the cluster, Slack itself, and an alert."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from markupsafe import Markup
from nicegui import ui
from nicegui.element import Element

from bot.lab.errors import LabError
from bot.lab.slack.faults import ANY, Faults
from bot.lab.slack.page.elements import Handler, button, html, icon, tag
from bot.lab.slack.page.page_actions import PageActions
from bot.lab.slack.page.page_context import PageContext
from bot.lab.slack.page.shape import items, rows, string
from bot.lab.types import Json

_ANYWHERE = "any node"
_STORM = 20


class LabPanel:
    """Shows what of these the page has: a cluster, a bot, Alertmanager and Slack."""

    def __init__(self, context: PageContext, actions: PageActions, close: Handler) -> None:
        self.cluster = context.cluster
        self.faults = context.workspace.faults
        self.kill_bot = context.kill_bot
        self.story = context.story
        self.actions = actions
        self._known: list[Json] = []
        self._fault = self._node = ""
        with tag("div", "panel-head"):
            html("Lab", "h2")
            button(icon("close"), close, "tool", aria_label="Close the lab")
        with tag("div", "panel-body", tabindex="0"):
            if self.cluster is not None:
                self._draw_cluster()
            self._draw_alerts()
            self._draw_trouble()
            if self.kill_bot is not None:
                self._draw_bot(self.kill_bot)

    # --- the cluster

    def _draw_cluster(self) -> None:
        with tag("section", "card", aria_label="Cluster"):
            html("Cluster", "h3")
            if self.story is not None:
                with tag("div", "buttons"):
                    button(self.story.title, self._tell_story, "btn primary")
            self._state = tag("div", "state")
            self._choices = tag("div", "choices")
            self._about = tag("div", "hint")
            with tag("div", "buttons"):
                button("Break it", self._break, "btn danger")
                button("Heal everything", self._heal, "btn")
            self._said = tag("div", "said", role="status")

    async def refresh(self) -> None:
        """Ask the lab how it is."""
        if self.cluster is None:
            return
        try:
            status = await self.cluster.status()
            known = self._known or await self.cluster.faults()
        except LabError as error:
            self._say(str(error))
            return
        if self._state.is_deleted:
            return
        nodes = [string(node, "name") for node in items(status, "nodes")]
        if not self._known:
            self._known = known
            self._draw_choices(nodes)
        self._state.clear()
        with self._state:
            html(_state_html(status, nodes))

    def _draw_choices(self, nodes: list[str]) -> None:
        titles = {string(one, "id"): _title(one) for one in sorted(self._known, key=_by_hop)}
        places = [_ANYWHERE, *nodes]
        with self._choices:
            fault = ui.select(titles, label="Fault", with_input=True, on_change=lambda event: self._chose(event.value))
            node = ui.select(places, value=_ANYWHERE, label="Where", on_change=lambda event: self._aimed(event.value))
            for select in (fault, node):
                select.classes("wide")
                select.props["outlined"] = select.props["dense"] = True

    def _chose(self, fault: object) -> None:
        self._fault = str(fault or "")
        self._about.clear()
        with self._about:
            for one in (one for one in self._known if one.get("id") == self._fault):
                html(Markup("<code>{}</code> · touches one {}").format(self._fault, string(one, "scope")), "span")

    def _aimed(self, node: object) -> None:
        self._node = "" if node == _ANYWHERE else str(node)

    async def _tell_story(self) -> None:
        cluster, story = self.cluster, self.story
        if cluster is None or story is None:
            return

        async def deed() -> str:
            await cluster.break_(story.fault, node=story.node)
            return f"Broken: {story.node}."

        await self._done(deed)

    async def _break(self) -> None:
        cluster = self.cluster
        if cluster is None or not self._fault:
            self._say("Choose a fault first.")
            return

        async def deed() -> str:
            done = await cluster.break_(self._fault, node=self._node)
            touched = next((string(one, "scope") for one in self._known if one.get("id") == self._fault), "")
            return f"Broken: {string(done, touched) or string(done, 'node') or 'the cluster'}."

        await self._done(deed)

    async def _heal(self) -> None:
        cluster = self.cluster
        if cluster is None:
            return

        async def deed() -> str:
            return f"Healed: {', '.join(await cluster.heal()) or 'nothing was broken'}."

        await self._done(deed)

    async def _done(self, deed: Callable[[], Awaitable[str]]) -> None:
        self._say("Working…")
        try:
            sentence = await deed()
        except LabError as error:
            sentence = str(error)
        await self.refresh()
        self._say(sentence)

    def _say(self, sentence: str) -> None:
        if not self._said.is_deleted:
            self._said.clear()
            with self._said:
                html(sentence, "span")

    # --- alerts and Slack

    def _draw_alerts(self) -> None:
        with tag("section", "card", aria_label="Alertmanager"):
            html("Alertmanager", "h3")
            html("Posts into #alerts, as its Slack receiver does.", "p", "hint")
            with tag("div", "buttons"):
                button("Fire an alert", lambda: self._alert(is_resolved=False), "btn")
                button("Resolve it", lambda: self._alert(is_resolved=True), "btn")

    async def _alert(self, *, is_resolved: bool) -> None:
        problem = await self.actions.alert(is_resolved=is_resolved)
        ui.notify(problem or "Alertmanager posted into #alerts.", position="bottom-left")

    def _draw_trouble(self) -> None:
        faults = self.faults
        with tag("section", "card", aria_label="Slack trouble"):
            html("Trouble with Slack", "h3")
            html("What the bot must live through without losing a word.", "p", "hint")
            _switch("Slack is down", faults.is_down, faults.down)
            _switch("Sockets are half open", faults.half_open_sockets, faults.half_open)
            with tag("div", "buttons"):
                button("Answer 429", lambda: _notify(f"The next {_STORM} posts get a 429.", _storm, faults), "btn")
                button("Drop sockets", lambda: _notify("Every socket was reset.", faults.drop_sockets), "btn")
                button("Lose replies", lambda: _notify("The next 3 replies are lost.", _lose, faults), "btn")
                button("A good day", lambda: _notify("Slack is well again.", faults.clear), "btn")

    def _draw_bot(self, kill: Callable[[], None]) -> None:
        with tag("section", "card", aria_label="The bot"):
            html("The bot", "h3")
            html("Killed in the middle of anything, it finishes what it had taken on.", "p", "hint")
            with tag("div", "buttons"):
                button(
                    "kill -9", lambda: _notify("Killed. It is started again, as Kubernetes would.", kill), "btn danger"
                )


_HOPS = {
    "P": "Sandbox", "L": "Pod", "G": "Gateway", "R": "Routes", "B": "Bridge", "O": "Overlay", "M": "MTU",
    "S": "Service", "D": "DNS", "N": "Policy", "K": "Kernel", "C": "Cilium",
}  # fmt: skip
"""Where a fault is, by the letter of its class, in the order in which a packet meets them."""


def _by_hop(fault: Json) -> tuple[bool, int, str]:
    """Faults in the packet's order; what only looks like one comes last."""
    letter = string(fault, "letter")[:1]
    at = list(_HOPS).index(letter) if letter in _HOPS else len(_HOPS)
    return _is_decoy(fault), at, string(fault, "title")


def _is_decoy(fault: Json) -> bool:
    """It looks like a fault and is none: no cause names it."""
    return not string(fault, "cause")


def _title(fault: Json) -> str:
    where = "Harmless" if _is_decoy(fault) else _HOPS.get(string(fault, "letter")[:1], "Other")
    return f"{where}: {string(fault, 'title') or string(fault, 'id')}"


def _state_html(status: Json, nodes: list[str]) -> Markup:
    injected = [str(one) for one in rows(status, "injected")]
    head = Markup("<p>{} · {} nodes</p>").format(string(status, "cni"), len(nodes))
    if not injected:
        return head + Markup('<p class="good"><span class="dot"></span>Nothing is broken</p>')
    broken = Markup().join(Markup("<li>{}</li>").format(one) for one in injected)
    return head + Markup('<p class="bad"><span class="dot"></span>Broken</p><ul>{}</ul>').format(broken)


def _switch(label: str, value: bool, turn: Callable[[bool], None]) -> Element:  # noqa: FBT001 a switch
    return ui.switch(label, value=value, on_change=lambda event: turn(bool(event.value)))


def _notify(sentence: str, deed: Callable[..., None], *arguments: Faults) -> None:
    deed(*arguments)
    ui.notify(sentence, position="bottom-left")


def _storm(faults: Faults) -> None:
    faults.rate_limit("chat.postMessage", times=_STORM, retry_after=1)
    faults.rate_limit("chat.update", times=_STORM, retry_after=1)


def _lose(faults: Faults) -> None:
    faults.lose_replies(ANY, times=3)
