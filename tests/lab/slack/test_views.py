"""Modals and Home: triggers, stacks, hashes, submissions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from slack_bolt.app.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from bot.lab.slack import SlackOptions, SlackWorkspace, UserClientError
from tests.lab.slack.conftest import connected, refused

Json = dict[str, Any]


def plain(text: str) -> Json:
    return {"type": "plain_text", "text": text}


def modal(title: str = "Details", *blocks: Json, **more: Any) -> Json:
    return {"type": "modal", "title": plain(title), "blocks": list(blocks), **more}


def question(block_id: str = "why", **element: Any) -> Json:
    typed = {"type": "plain_text_input", "action_id": "reason", **element}
    return {"type": "input", "block_id": block_id, "label": plain("Why"), "element": typed}


class Triggers:
    """An app that keeps the trigger id of each command, and answers submissions as told."""

    def __init__(self, app: Any) -> None:
        self.ids: list[str] = []
        self.submitted: list[Json] = []
        self.closed: list[Json] = []
        self.reply: Json = {}
        app.command("/cni")(self.command)
        app.view({"type": "view_submission", "callback_id": "form"})(self.submission)
        app.view_closed("form")(self.closing)
        app.action("more")(self.pressed)

    async def command(self, ack: Any, body: Json) -> None:
        await ack()
        self.ids.append(body["trigger_id"])

    async def pressed(self, ack: Any, body: Json) -> None:
        await ack()
        self.ids.append(body["trigger_id"])

    async def submission(self, ack: Any, body: Json) -> None:
        self.submitted.append(body)
        await ack(**self.reply)

    async def closing(self, ack: Any, body: Json) -> None:
        await ack()
        self.closed.append(body)


@pytest.fixture
async def app(ws: SlackWorkspace, client: Any) -> AsyncIterator[Triggers]:
    bolt: Any = AsyncApp(client=client)
    triggers = Triggers(bolt)
    async with connected(ws, bolt):
        yield triggers


async def trigger(ws: SlackWorkspace, app: Triggers, user: str = "alice") -> str:
    before = len(app.ids)
    await ws.user(user).slash("#incidents", "/cni", "x")
    await ws.until(lambda: len(app.ids) > before)
    return app.ids[-1]


async def test_a_trigger_is_good_once(ws: SlackWorkspace, client: Any, app: Triggers) -> None:
    trigger_id = await trigger(ws, app)
    view = (await client.views_open(trigger_id=trigger_id, view=modal()))["view"]
    assert (view["root_view_id"], view["previous_view_id"], view["app_id"]) == (view["id"], None, "A0CNIBOT")
    assert [one.id for one in ws.user("alice").modals()] == [view["id"]]
    assert ws.user("bob").modals() == []
    assert (await refused(client.views_open(trigger_id=trigger_id, view=modal())))["error"] == "exchanged_trigger_id"
    assert (await refused(client.views_open(trigger_id="12.34.x", view=modal())))["error"] == "invalid_trigger_id"


async def test_a_trigger_is_good_for_three_seconds() -> None:
    async with SlackWorkspace.start(SlackOptions(trigger_ttl_s=-1)) as ws:
        client: Any = AsyncWebClient(token=ws.bot_token, base_url=ws.api_url)
        bolt: Any = AsyncApp(client=client)
        app = Triggers(bolt)
        async with connected(ws, bolt):
            answer = await refused(client.views_open(trigger_id=await trigger(ws, app), view=modal()))
            assert answer["error"] == "expired_trigger_id"


async def test_opening_replaces_and_pushing_stacks_three(ws: SlackWorkspace, client: Any, app: Triggers) -> None:
    alice = ws.user("alice")
    await client.views_open(trigger_id=await trigger(ws, app), view=modal("One"))
    await client.views_open(trigger_id=await trigger(ws, app), view=modal("Two"))
    for title in ("Three", "Four"):
        await client.views_push(trigger_id=await trigger(ws, app), view=modal(title))
    assert [one.title for one in alice.modals()] == ["Two", "Three", "Four"]
    root = alice.modals()[0].id
    assert {one.root_view_id for one in alice.modals()} == {root}
    answer = await refused(client.views_push(trigger_id=await trigger(ws, app), view=modal("Five")))
    assert answer["error"] == "push_limit_reached"


async def test_an_update_may_insist_on_the_version_it_knows(ws: SlackWorkspace, client: Any, app: Triggers) -> None:
    view = (await client.views_open(trigger_id=await trigger(ws, app), view=modal("Loading")))["view"]
    new = (await client.views_update(view_id=view["id"], hash=view["hash"], view=modal("Done")))["view"]
    assert (new["hash"] != view["hash"], ws.user("alice").modals()[0].title) == (True, "Done")
    answer = await refused(client.views_update(view_id=view["id"], hash=view["hash"], view=modal("Late")))
    assert answer["error"] == "hash_conflict"
    await ws.user("alice").close(view["id"])
    assert (await refused(client.views_update(view_id=view["id"], view=modal("Later"))))["error"] == "not_found"


async def test_external_ids_are_unique(ws: SlackWorkspace, client: Any, app: Triggers) -> None:
    await client.views_open(trigger_id=await trigger(ws, app), view=modal(external_id="one"))
    await client.views_update(external_id="one", view=modal("Found", external_id="one"))
    assert ws.user("alice").modals()[0].title == "Found"
    answer = await refused(client.views_open(trigger_id=await trigger(ws, app, "bob"), view=modal(external_id="one")))
    assert answer["error"] == "duplicate_external_id"


async def test_refuses_what_is_no_modal(ws: SlackWorkspace, client: Any, app: Triggers) -> None:
    trigger_id = await trigger(ws, app)
    answer = await refused(client.views_open(trigger_id=trigger_id, view=modal("x" * 25)))
    assert answer["error"] == "invalid_arguments"
    assert answer["response_metadata"]["messages"] == [
        "[ERROR] must be less than 25 characters [json-pointer:/view/title/text]"
    ]
    answer = await refused(client.views_open(trigger_id=trigger_id, view={"type": "home", "blocks": []}))
    assert answer["error"] == "invalid_arguments"
    assert (await client.views_open(trigger_id=trigger_id, view=modal()))["ok"], "a refusal does not use it up"


FORM = modal(
    "Why not",
    question(min_length=3),
    {
        "type": "input",
        "block_id": "who",
        "optional": True,
        "label": plain("Who"),
        "element": {
            "type": "static_select",
            "action_id": "team",
            "options": [{"text": plain("Red"), "value": "red"}, {"text": plain("Blue"), "value": "blue"}],
        },
    },
    callback_id="form",
    submit=plain("Send"),
    private_metadata="inc-1:2",
    notify_on_close=True,
)


async def test_a_submission_carries_what_was_typed(ws: SlackWorkspace, client: Any, app: Triggers) -> None:
    await client.views_open(trigger_id=await trigger(ws, app), view=FORM)
    alice = ws.user("alice")
    (view,) = alice.modals()
    assert (await alice.submit(view.id, {"reason": "no"})).errors == {
        "why": "Please enter between 3 and 3000 characters."
    }
    assert (await alice.submit(view.id, {"reason": ""})).errors == {"why": "Please complete this required field."}
    with pytest.raises(UserClientError, match="no option 'green'"):
        await alice.submit(view.id, {"team": "green"})
    with pytest.raises(UserClientError, match="no input colour"):
        await alice.submit(view.id, {"colour": "red"})
    outcome = await alice.submit(view.id, {"reason": "the route", "team": "blue"})
    assert (outcome.acked, outcome.error, alice.modals()) == (True, "", [])
    (body,) = app.submitted
    assert body["view"]["private_metadata"] == "inc-1:2"
    assert body["view"]["state"]["values"] == {
        "why": {"reason": {"type": "plain_text_input", "value": "the route"}},
        "who": {
            "team": {"type": "static_select", "selected_option": {"text": plain("Blue"), "value": "blue"}},
        },
    }


@pytest.mark.parametrize(
    ("reply", "titles"),
    [
        ({}, ["Under"]),
        ({"response_action": "clear"}, []),
        ({"response_action": "update", "view": modal("New")}, ["Under", "New"]),
        ({"response_action": "push", "view": modal("Top")}, ["Under", "Why not", "Top"]),
        ({"response_action": "errors", "errors": {"why": "Not enough"}}, ["Under", "Why not"]),
    ],
)
async def test_the_app_says_what_comes_after_a_submission(
    ws: SlackWorkspace, client: Any, app: Triggers, reply: Json, titles: list[str]
) -> None:
    alice = ws.user("alice")
    await client.views_open(trigger_id=await trigger(ws, app), view=modal("Under"))
    await client.views_push(trigger_id=await trigger(ws, app), view=FORM)
    app.reply = reply
    outcome = await alice.submit(alice.modals()[-1].id, {"reason": "because"})
    assert (outcome.acked, outcome.error) == (True, "")
    assert outcome.errors == reply.get("errors", {})
    assert [one.title for one in alice.modals()] == titles


@pytest.mark.parametrize(
    "reply",
    [
        {"response_action": "errors", "errors": {"nowhere": "x"}},
        {"response_action": "update", "view": modal("x" * 25)},
        {"response_action": "dance"},
    ],
)
async def test_a_wrong_answer_is_trouble_for_the_person(
    ws: SlackWorkspace, client: Any, app: Triggers, reply: Json
) -> None:
    await client.views_open(trigger_id=await trigger(ws, app), view=FORM)
    app.reply = reply
    alice = ws.user("alice")
    outcome = await alice.submit(alice.modals()[0].id, {"reason": "because"})
    assert outcome.error.startswith("We had some trouble connecting. Try again?")
    assert [one.title for one in alice.modals()] == ["Why not"]


async def test_values_survive_an_update_of_the_view(ws: SlackWorkspace, client: Any, app: Triggers) -> None:
    button = {"type": "button", "action_id": "more", "text": plain("More")}
    more = {"type": "actions", "block_id": "press", "elements": [button]}
    form = {**FORM, "blocks": [*FORM["blocks"], more]}
    view_id = (await client.views_open(trigger_id=await trigger(ws, app), view=form))["view"]["id"]
    alice = ws.user("alice")
    ws.state.views[view_id].values["why"]["reason"]["value"] = "typed before"
    assert (await alice.click_in_view(view_id, "more")).acked
    await client.views_update(view_id=view_id, view=form)
    await alice.submit(view_id)
    await ws.until(lambda: app.submitted)
    assert app.submitted[0]["view"]["state"]["values"]["why"]["reason"]["value"] == "typed before"


async def test_the_app_hears_of_a_closed_view_when_it_asked_for_that(
    ws: SlackWorkspace, client: Any, app: Triggers
) -> None:
    alice = ws.user("alice")
    await client.views_open(trigger_id=await trigger(ws, app), view=FORM)
    await alice.close(alice.modals()[0].id)
    await ws.until(lambda: app.closed)
    assert app.closed[0]["is_cleared"] is False
    await client.views_open(trigger_id=await trigger(ws, app), view=FORM)
    await client.views_push(trigger_id=await trigger(ws, app), view=FORM)
    await alice.close(alice.modals()[-1].id, all_views=True)
    assert alice.modals() == []
    assert [one["is_cleared"] for one in app.closed] == [False, True, True]


async def test_home(ws: SlackWorkspace, client: Any) -> None:
    bolt: Any = AsyncApp(client=client)
    views: list[Json | None] = []

    @bolt.event("app_home_opened")
    async def opened(event: Json, client: Any) -> None:
        views.append(event.get("view"))
        home = {"type": "home", "blocks": [{"type": "section", "text": plain("all quiet")}]}
        await client.views_publish(user_id=event["user"], view=home)

    async with connected(ws, bolt):
        alice = ws.user("alice")
        await alice.open_home()
        home = await ws.until(alice.home)
        assert home.blocks[0]["text"]["text"] == "all quiet"
        assert ws.user("bob").home() is None
        published = (await client.views_publish(user_id=alice.id, view={"type": "home", "blocks": []}))["view"]
        assert published["id"] == home.id
        await alice.open_home()
        await ws.until(lambda: len(views) == 2)
        assert (views[0], (views[1] or {})["id"]) == (None, home.id)
    answer = await refused(client.views_publish(user_id="U0DAVE", view={"type": "home", "blocks": []}))
    assert answer["error"] == "invalid_arguments"
    answer = await refused(client.views_publish(user_id="U0ALICE", view={"type": "home", "blocks": []}, hash="old"))
    assert answer["error"] == "hash_conflict"
