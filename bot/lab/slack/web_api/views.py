"""views.*: modals, stacked at most three high, and the Home tab."""

from typing import Any

from bot.lab.slack.errors import SlackError
from bot.lab.slack.handles import Trigger
from bot.lab.slack.model import View
from bot.lab.slack.validate import refuse, validate_view
from bot.lab.slack.web_api.registry import TIER_4, Call, method
from bot.lab.types import Json


def _payload(call: Call, kind: str) -> Json:
    payload: Any = call.args.json("view")
    if payload is None:
        raise SlackError("invalid_arguments", "[ERROR] missing required field: view")
    refuse(validate_view(payload))
    if payload["type"] != kind:
        raise SlackError("invalid_arguments", f"[ERROR] must be a {kind} [json-pointer:/view/type]")
    return payload


def _trigger(call: Call) -> Trigger:
    trigger_id = call.args.text("trigger_id") or call.args.text("interactivity_pointer")
    if not trigger_id:
        raise SlackError("invalid_arguments", "[ERROR] missing required field: trigger_id")
    return call.platform.handles.use_trigger(trigger_id, call.app.id)


@method("views.open", per_minute=TIER_4, takes_json=True)
def open_(call: Call) -> Json:
    """A modal replaces whatever modal the person had open."""
    payload = _payload(call, "modal")
    trigger = _trigger(call)
    view = call.platform.modals.open(call.app, trigger.user, payload)
    return {"ok": True, "view": view.as_json()}


@method("views.push", per_minute=TIER_4, takes_json=True)
def push(call: Call) -> Json:
    """A modal on top of the one that the person pressed in."""
    payload = _payload(call, "modal")
    view = call.platform.modals.push(call.app, _trigger(call).user, payload)
    return {"ok": True, "view": view.as_json()}


@method("views.update", per_minute=TIER_4, takes_json=True)
def update(call: Call) -> Json:
    """Replaces an open view; with `hash`, only the version that the app knows."""
    payload = _payload(call, "modal")
    view = _find(call)
    if "hash" in call.args and call.args.text("hash") != view.hash:
        raise SlackError("hash_conflict")
    call.platform.modals.replace(view, payload)
    return {"ok": True, "view": view.as_json()}


def _find(call: Call) -> View:
    view_id, external_id = call.args.text("view_id"), call.args.text("external_id")
    if not view_id and not external_id:
        raise SlackError("invalid_arguments", "[ERROR] missing required field: view_id")
    for view in call.state.views.values():
        if view.app_id == call.app.id and (view.id == view_id or (external_id and view.external_id == external_id)):
            return view
    raise SlackError("not_found")


@method("views.publish", per_minute=TIER_4, takes_json=True)
def publish(call: Call) -> Json:
    """A person's Home tab."""
    payload = _payload(call, "home")
    user = call.state.users.get(call.args.required("user_id"))
    if user is None or user.is_bot or user.deleted:
        raise SlackError("invalid_arguments", "[ERROR] invalid user_id [json-pointer:/user_id]")
    home = call.state.homes.get((call.app.id, user.id))
    if "hash" in call.args and home and call.args.text("hash") != home.hash:
        raise SlackError("hash_conflict")
    view = call.platform.modals.publish(call.app, user.id, payload)
    return {"ok": True, "view": view.as_json()}
