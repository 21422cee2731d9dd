"""What an app answers to the submission of a modal: nothing, errors, an update, another view, or the end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from bot.lab.slack.delivery import Ack
from bot.lab.slack.errors import SlackError
from bot.lab.slack.model import View
from bot.lab.slack.outcome import Outcome
from bot.lab.slack.validate import refuse, validate_view
from bot.lab.types import Json

if TYPE_CHECKING:
    from bot.lab.slack.platform import Platform

_TROUBLE = "We had some trouble connecting. Try again?"


def respond_to_submission(platform: Platform, view: View, ack: Ack) -> Outcome:
    """Change the person's stack of views as the app said."""
    reply: Json = ack.reply or {}
    try:
        errors = _apply(platform, view, reply)
    except SlackError as error:
        platform.state.changes.note("outcome", user=view.user, detail=error.code)
        return Outcome(
            acked=True, took_s=ack.took_s, error=f"{_TROUBLE} ({error.code}: {'; '.join(error.messages)})", reply=reply
        )
    platform.state.changes.note("outcome", user=view.user)
    return Outcome(acked=True, took_s=ack.took_s, reply=reply, errors=errors)


def _apply(platform: Platform, view: View, reply: Json) -> dict[str, str]:
    app = platform.state.apps[view.app_id]
    match reply.get("response_action"):
        case None:
            platform.modals.pop(view)
        case "clear":
            platform.modals.clear(view.user)
        case "update":
            platform.modals.replace(view, _view(reply))
        case "push":
            platform.modals.push(app, view.user, _view(reply))
        case "errors":
            return _errors(view, reply.get("errors"))
        case other:
            raise SlackError("invalid_response_action", str(other))
    return {}


def _view(reply: Json) -> Json:
    view: Any = reply.get("view")
    refuse(validate_view(view))
    return view


def _errors(view: View, errors: Any) -> dict[str, str]:
    """Errors must be of input blocks of this view."""
    inputs = {block["block_id"] for block in view.blocks if block["type"] == "input"}
    given: Json = cast("Json", errors) if isinstance(errors, dict) else {}
    if not given or not inputs.issuperset(given):
        raise SlackError("invalid_errors", f"only of input blocks {sorted(inputs)}")
    return {block: str(sentence) for block, sentence in given.items()}
