"""The workspace's parts, for those that need several of them."""

from __future__ import annotations

from dataclasses import dataclass

from bot.lab.slack.background import Background
from bot.lab.slack.calls import Calls
from bot.lab.slack.delivery import Deliveries
from bot.lab.slack.faults import Faults
from bot.lab.slack.handles import Handles
from bot.lab.slack.modals import Modals
from bot.lab.slack.push import Push
from bot.lab.slack.sockets import Sockets
from bot.lab.slack.uploads import Uploads
from bot.lab.slack.workspace_state import WorkspaceState


@dataclass(kw_only=True)
class Platform:
    """State, and what moves it."""

    state: WorkspaceState
    background: Background
    faults: Faults
    handles: Handles
    modals: Modals
    uploads: Uploads
    sockets: Sockets
    push: Push
    deliveries: Deliveries
    calls: Calls


def build(state: WorkspaceState) -> Platform:
    """The parts, wired together."""
    background = Background()

    def drop(how: str) -> None:
        sockets.drop(how)

    faults = Faults(on_change=lambda: state.changes.note("faults"), on_drop=drop)
    sockets = Sockets(state=state, faults=faults, background=background)
    push = Push(state=state, faults=faults)
    options = state.options
    return Platform(
        state=state,
        background=background,
        faults=faults,
        handles=Handles(ids=state.ids, clock=state.clock, trigger_ttl_s=options.trigger_ttl_s),
        modals=Modals(state),
        uploads=Uploads(state, background),
        sockets=sockets,
        push=push,
        deliveries=Deliveries(
            state=state, faults=faults, background=background, transports={"socket": sockets, "http": push}),
        calls=Calls(),
    )  # fmt: skip
