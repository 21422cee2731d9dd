"""Nothing is acknowledged that is not kept, and nothing is left without an answer."""

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_sdk.web.async_client import AsyncWebClient

from bot.slack.bolt import build_app
from bot.slack.identity import Identity, NotIdentifiedError
from bot.slack.incoming import is_own_edit, received
from tests.slack.bodies import SECRET, command, event, form, press
from tests.slack.intake import Kept, app_into

KINDS: list[tuple[dict[str, Any], str, str]] = [
    (event(), "event", "event:Ev1"),
    (command(), "command", "command:t1"),
    (press(), "action", "action:t2"),
    (press(trigger_id=None), "action", "action:5.5:UALICE:cni_details"),
    (form(), "view_submission", "view_submission:V1:h1"),
    (form("view_closed"), "view_closed", "view_closed:V1:h1"),
    ({**press("t3"), "type": "message_action", "callback_id": "cni_diagnose_message"}, "shortcut", "shortcut:t3"),
]


async def send(kept: Kept, body: dict[str, Any]) -> BoltResponse:
    """As Socket Mode does it, first delivery's header included."""
    request = AsyncBoltRequest(mode="socket_mode", body=body, headers={"x-slack-retry-num": "0"})
    return await app_into(kept).async_dispatch(request)


@pytest.mark.parametrize(("body", "kind", "dedup_id"), KINDS, ids=[kind + dedup for _, kind, dedup in KINDS])
async def test_everything_is_kept_and_answered(body: dict[str, Any], kind: str, dedup_id: str) -> None:
    kept = Kept()

    answer = await send(kept, body)

    assert answer.status == 200
    assert kept.entries == {dedup_id: (kind, body)}


async def test_a_second_delivery_is_answered_and_not_kept_again() -> None:
    kept = Kept()

    answers = [(await send(kept, event("Ev7"))).status for _ in range(3)]

    assert answers == [200, 200, 200]
    assert list(kept.entries) == ["event:Ev7"]


@pytest.mark.parametrize(
    "body",
    [
        event(type="channel_archive"),
        event(type="never_heard_of"),
        press(action_id="nobody_knows_it"),
        {**form(), "view": {"id": "V2", "hash": "x", "callback_id": "unknown"}},
        {**press("t9"), "type": "shortcut", "callback_id": "unknown"},
        {**command("t8"), "command": "/other"},
        {**press("t9"), "type": "workflow_step_edit"},
        {"type": "anything else", "team": {"id": "T1"}},
    ],
    ids=lambda body: str(body.get("type", "command")),
)
async def test_what_nobody_waits_for_is_answered_too(body: dict[str, Any]) -> None:
    assert (await send(Kept(), body)).status == 200


async def test_a_menu_gets_a_list() -> None:
    """Without one it would show an error."""
    answer = await send(Kept(), {**press(), "type": "block_suggestion"})

    assert (answer.status, answer.body) == (200, '{"options": []}')


async def test_what_cannot_be_kept_is_not_acknowledged() -> None:
    kept = Kept(is_down=True)

    answer = await send(kept, event())
    kept.is_down = False
    again = await send(kept, event())

    assert answer.status == 500
    assert again.status == 200
    assert list(kept.entries) == ["event:Ev1"]


async def test_an_event_before_slack_said_who_we_are_is_not_lost() -> None:
    """Bolt alone answers 200 when its first auth.test fails, and Slack never sends the event again."""
    kept = Kept()

    async def unknown() -> Identity:
        raise NotIdentifiedError

    app = build_app(AsyncWebClient(token="xoxb-1"), signing_secret=SECRET, inbox=kept, who_am_i=unknown)
    answer = await app.async_dispatch(AsyncBoltRequest(mode="socket_mode", body=event()))

    assert answer.status == 500
    assert kept.entries == {}


ALERT = "[FIRING:1] KubePodNotReady shop (warning)"


def posted(**fields: Any) -> dict[str, Any]:
    """A message in a public channel."""
    return event(**{"type": "message", "channel_type": "channel", **fields})


@pytest.mark.parametrize(
    "echo",
    [
        posted(user="UBOT", bot_id="BBOT", text=ALERT),
        posted(subtype="bot_message", bot_id="BBOT", user=None, text=ALERT),
        posted(subtype="message_changed", user=None, message={"bot_id": "BBOT", "text": ALERT}),
        posted(subtype="message_deleted", user=None, previous_message={"bot_id": "BBOT", "text": ALERT}),
    ],
    ids=["own", "own by name", "own, edited", "own, deleted"],
)
async def test_our_own_echo_is_answered_and_not_kept(echo: dict[str, Any]) -> None:
    kept = Kept()

    answer = await send(kept, echo)

    assert answer.status == 200
    assert kept.entries == {}


async def test_an_edit_by_somebody_else_is_kept() -> None:
    """Alertmanager resolves by editing its message."""
    kept = Kept()

    message = {"bot_id": "BALERTS", "text": ALERT}
    await send(kept, posted(subtype="message_changed", user=None, message=message))

    assert list(kept.entries) == ["event:Ev1"]


@pytest.mark.parametrize(
    "said",
    [
        posted(text="lunch?"),
        posted(text=ALERT),
        posted(text="deployed", bot_id="BCI"),
        posted(text=ALERT, bot_id="BALERTS", channel_type="im"),
        event(type="reaction_added"),
    ],
    ids=["a person", "a person about an alert", "another program", "in private", "other events"],
)
async def test_of_what_is_said_only_alerts_of_programs_are_kept(said: dict[str, Any]) -> None:
    """An app can be sent more than the code knows what to do with."""
    kept = Kept()

    answer = await send(kept, said)

    assert answer.status == 200
    assert kept.entries == {}


async def test_oauth_variables_of_the_environment_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLACK_CLIENT_ID", "1.2")
    monkeypatch.setenv("SLACK_CLIENT_SECRET", "s")
    kept = Kept()

    answer = await send(kept, event())

    assert answer.status == 200
    assert list(kept.entries) == ["event:Ev1"]
    assert app_into(kept).oauth_flow is None


async def test_many_at_once_are_all_kept() -> None:
    kept = Kept()

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(send(kept, event(f"Ev{number % 90}")))

    assert len(kept.entries) == 90


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
WORDS = ("type", "event", "event_id", "view", "actions", "user", "trigger_id", "command", "subtype", "message")
TYPES = st.sampled_from(("event_callback", "block_actions", "view_submission", "shortcut", "message"))


@given(st.dictionaries(st.sampled_from(WORDS), JSON | TYPES), TYPES)
def test_any_body_has_an_id(body: dict[str, Any], what: str) -> None:
    """It is signed by Slack, and still nothing of it is taken for granted."""
    body = {"type": what, **body}
    found = received(body)

    assert (found.kind is None) == (found.dedup_id == "")
    assert received(body) == found
    is_own_edit(body, "B", "U")
