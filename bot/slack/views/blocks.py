"""Block Kit's pieces, each within Slack's limits whatever it is given: too long is cut, too many is left out.

Plain dictionaries, for the SDK's own models know neither all blocks nor all limits.

Source: https://docs.slack.dev/reference/block-kit/blocks/
"""

from collections.abc import Sequence
from typing import Any, Literal

from bot.slack.views.text import Mrkdwn, plain, shortened

Block = dict[str, Any]

MAX_SECTION = 3_000
MAX_HEADER = 150
MAX_CONTEXT = 2_000
MAX_MESSAGE_BLOCKS = 50
MAX_VIEW_BLOCKS = 100
MAX_BUTTONS = 25
MAX_VALUE = 2_000
MAX_METADATA = 3_000


def _plain_text(text: str, limit: int) -> Block:
    return {"type": "plain_text", "text": plain(text, limit) or "-", "emoji": False}


def _mrkdwn(text: Mrkdwn, limit: int) -> Block:
    """Verbatim: Slack makes no links and mentions of its own out of what stands there."""
    return {"type": "mrkdwn", "text": shortened(text, limit) or " ", "verbatim": True}


def header(text: str) -> Block:
    """A heading."""
    return {"type": "header", "text": _plain_text(text, MAX_HEADER)}


def section(text: Mrkdwn, accessory: Block | None = None, *, is_whole: bool = False) -> Block:
    """A paragraph, with a button beside it. One that must be read whole is not folded behind "see more"."""
    block: Block = {"type": "section", "text": _mrkdwn(text, MAX_SECTION)}
    if is_whole:
        block["expand"] = True
    return block | {"accessory": accessory} if accessory else block


def context(text: Mrkdwn) -> Block:
    """Small print."""
    return {"type": "context", "elements": [_mrkdwn(text, MAX_CONTEXT)]}


def button(
    label: str, action_id: str, value: str, *, says: str = "", style: Literal["primary", "danger"] | None = None
) -> Block:
    """A button; `says` is what a screen reader says instead of a terse label. A value that does not fit is left out."""
    element: Block = {"type": "button", "action_id": action_id[:255], "text": _plain_text(label, 75)}
    if 0 < len(value) <= MAX_VALUE:
        element["value"] = value
    if says:
        element["accessibility_label"] = plain(says, 75)
    return element | {"style": style} if style else element


def overflow(action_id: str, options: Sequence[tuple[str, str]]) -> Block:
    """A menu behind three dots, of labels and their values. Slack takes up to five."""
    shown = [{"text": _plain_text(label, 75), "value": value[:150]} for label, value in options[:5]]
    return {"type": "overflow", "action_id": action_id[:255], "options": shown}


def actions(*buttons: Block) -> Block:
    """Buttons in a row. Their action_ids differ."""
    return {"type": "actions", "elements": list(buttons[:MAX_BUTTONS])}


def text_input(label: str, block_id: str, action_id: str, *, placeholder: str = "", hint: str = "") -> Block:
    """A field for several lines."""
    element: Block = {"type": "plain_text_input", "action_id": action_id, "multiline": True, "max_length": 2_000}
    if placeholder:
        element["placeholder"] = _plain_text(placeholder, 150)
    block: Block = {"type": "input", "block_id": block_id, "label": _plain_text(label, 2_000), "element": element}
    return block | {"hint": _plain_text(hint, 2_000)} if hint else block


def modal(title: str, blocks: Sequence[Block], *, callback_id: str = "", metadata: str = "", submit: str = "") -> Block:
    """A dialogue."""
    view: Block = {
        "type": "modal",
        "title": _plain_text(title, 24),
        "close": _plain_text("Cancel" if submit else "Close", 24),
        "blocks": list(blocks[:MAX_VIEW_BLOCKS]),
    }
    if submit:
        view["submit"] = _plain_text(submit, 24)
    if callback_id:
        view["callback_id"] = callback_id
    if 0 < len(metadata) <= MAX_METADATA:
        view["private_metadata"] = metadata
    return view


def home_tab(blocks: Sequence[Block]) -> Block:
    """The app's Home."""
    return {"type": "home", "blocks": list(blocks[:MAX_VIEW_BLOCKS])}
