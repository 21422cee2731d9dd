"""The modals that people have open, and their Home tabs."""

from __future__ import annotations

from dataclasses import dataclass

from bot.lab.slack.errors import SlackError
from bot.lab.slack.inputs import initial_values
from bot.lab.slack.model import App, View
from bot.lab.slack.workspace_state import WorkspaceState
from bot.lab.types import Json

MOST_STACKED = 3


@dataclass
class Modals:
    """Stacks of views, one for each person; the last is on top."""

    state: WorkspaceState

    def stack(self, user: str) -> list[View]:
        """The open modals of a person."""
        return self.state.stacks.setdefault(user, [])

    def open(self, app: App, user: str, payload: Json) -> View:
        """A new stack; what was open is closed."""
        self.clear(user)
        return self._add(app, user, payload)

    def push(self, app: App, user: str, payload: Json) -> View:
        """On top of the stack. Raises `push_limit_reached`."""
        if len(self.stack(user)) >= MOST_STACKED:
            raise SlackError("push_limit_reached")
        return self._add(app, user, payload)

    def replace(self, view: View, payload: Json) -> None:
        """What the view shows; values of blocks that stay are kept, as Slack's client does."""
        kept = view.values
        self._fill(view, payload)
        for block_id, actions in kept.items():
            if block_id in view.values:
                view.values[block_id] |= {name: actions[name] for name in view.values[block_id] if name in actions}
        self.state.changes.note("view", user=view.user, detail=view.id)

    def publish(self, app: App, user: str, payload: Json) -> View:
        """The person's Home tab."""
        view = self.state.homes.get((app.id, user)) or self._new(app, user)
        self._fill(view, payload)
        self.state.homes[app.id, user] = view
        self.state.views[view.id] = view
        self.state.changes.note("home", user=user, detail=view.id)
        return view

    def pop(self, view: View) -> None:
        """Close one view; those under it show again."""
        stack = self.stack(view.user)
        if view in stack:
            stack.remove(view)
        self.state.views.pop(view.id, None)
        self.state.changes.note("view", user=view.user, detail=view.id)

    def clear(self, user: str) -> None:
        """Close them all."""
        for view in list(self.stack(user)):
            self.pop(view)

    def _add(self, app: App, user: str, payload: Json) -> View:
        stack = self.stack(user)
        view = self._new(app, user)
        self._fill(view, payload)
        if stack:
            view.root_view_id, view.previous_view_id = stack[0].id, stack[-1].id
        stack.append(view)
        self.state.views[view.id] = view
        self.state.changes.note("view", user=user, detail=view.id)
        return view

    def _new(self, app: App, user: str) -> View:
        view_id = self.state.ids.fresh("V0", 9)
        team_id = self.state.users[app.bot_user].team_id
        return View(
            id=view_id, hash="", app_id=app.id, user=user, payload={}, team_id=team_id, bot_id=app.bot_id,
            root_view_id=view_id,
        )  # fmt: skip

    def _fill(self, view: View, payload: Json) -> None:
        external_id = str(payload.get("external_id") or "")
        others = (one for one in self.state.views.values() if one is not view and one.app_id == view.app_id)
        if external_id and any(one.external_id == external_id for one in others):
            raise SlackError("duplicate_external_id")
        self.state.fill_block_ids(payload.get("blocks") or [])
        view.payload, view.external_id = payload, external_id
        view.hash = f"{int(self.state.clock())}.{self.state.ids.secret(8)}"
        view.values = initial_values(view.blocks)
