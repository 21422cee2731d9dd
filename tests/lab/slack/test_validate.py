"""What Slack refuses, as tables: each limit at its edge, and one step beyond."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.lab.slack.validate import validate_message, validate_view

Json = dict[str, Any]


def plain(text: str = "x") -> Json:
    return {"type": "plain_text", "text": text}


def mrkdwn(text: str = "x") -> Json:
    return {"type": "mrkdwn", "text": text}


def button(**more: Any) -> Json:
    return {"type": "button", "action_id": "go", "text": plain(), **more}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def option(value: str = "v", text: str = "x") -> Json:
    return {"text": plain(text), "value": value}


def select(**more: Any) -> Json:
    return {"type": "static_select", "action_id": "pick", "options": [option()], **more}


def section(text: Json) -> Json:
    return {"type": "section", "text": text}


def rich(*inline: Json) -> Json:
    return {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": list(inline)}]}


def cell(text: str = "x") -> Json:
    return {"type": "raw_text", "text": text}


def series(points: int) -> list[Json]:
    return [{"name": "s", "data": [{"label": str(n), "value": n} for n in range(points)]}]


def line(points: int) -> Json:
    axes = {"categories": [str(n) for n in range(points)]}
    chart = {"type": "line", "series": series(points), "axis_config": axes}
    return {"type": "data_visualization", "title": "Lost packets", "chart": chart}


def table(rows: int, columns: int = 2) -> Json:
    return {"type": "table", "rows": [[cell() for _ in range(columns)] for _ in range(rows)]}


def picture(**more: Any) -> Json:
    return {"type": "image", "image_url": "https://a.example/x.png", "alt_text": "a path", **more}


FINE: dict[str, Json] = {
    "section at its limit": section(mrkdwn("x" * 3000)),
    "ten fields": {"type": "section", "fields": [mrkdwn("x" * 200) for _ in range(10)]},
    "accessory": {**section(plain()), "accessory": button(value="v" * 2000, style="danger")},
    "header": {"type": "header", "text": plain("x" * 150)},
    "divider": {"type": "divider"},
    "context": {"type": "context", "elements": [mrkdwn(), plain(), picture()]},
    "25 buttons": actions(*(button(action_id=f"a{n}") for n in range(25))),
    "confirm": actions(
        button(confirm={"title": plain("t" * 100), "text": mrkdwn("t" * 300), "confirm": plain(), "deny": plain()})
    ),
    "hidden button": actions(button(visible_to_user_ids=["U1"])),
    "overflow": actions({"type": "overflow", "action_id": "o", "options": [option(str(n)) for n in range(5)]}),
    "select of 100": actions(select(options=[option(str(n)) for n in range(100)], initial_option=option("7"))),
    "image": picture(title=plain()),
    "rich text": rich(
        {"type": "text", "text": "<!channel>", "style": {"bold": True}},
        {"type": "user", "user_id": "U1"},
        {"type": "link", "url": "https://a.example", "text": "a"},
        {"type": "emoji", "name": "eyes"},
        {"type": "date", "timestamp": 1, "format": "{date}", "fallback": "then"},
    ),
    "preformatted": {
        "type": "rich_text",
        "elements": [{"type": "rich_text_preformatted", "elements": [{"type": "text", "text": "ip r"}], "border": 0}],
    },
    "list": {
        "type": "rich_text",
        "elements": [
            {
                "type": "rich_text_list",
                "style": "bullet",
                "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "x"}]}],
            }
        ],
    },
    "markdown": {"type": "markdown", "text": "**x**"},
    "table": table(100),
    "data table": {"type": "data_table", "caption": "nodes", "rows": table(3)["rows"], "page_size": 100},
    "chart": line(20),
    "task": {"type": "task_card", "task_id": "t", "title": "look", "status": "in_progress"},
    "plan": {
        "type": "plan",
        "title": "diagnosis",
        "tasks": [{"type": "task_card", "task_id": "t", "title": "look", "status": "complete"}],
    },
    "card": {"type": "card", "title": mrkdwn("x" * 150), "body": mrkdwn("x" * 200), "actions": [button()]},
    "carousel": {"type": "carousel", "elements": [{"type": "card", "title": mrkdwn()} for _ in range(10)]},
    "container": {
        "type": "container",
        "title": plain(),
        "is_collapsible": True,
        "default_collapsed": True,
        "child_blocks": [section(mrkdwn()), {"type": "divider"}],
    },
    "feedback": {
        "type": "context_actions",
        "elements": [
            {
                "type": "feedback_buttons",
                "action_id": "f",
                "positive_button": {"text": plain(), "value": "1"},
                "negative_button": {"text": plain(), "value": "0"},
            }
        ],
    },
}

WRONG: dict[str, tuple[Json, str]] = {
    "unknown block": ({"type": "sektion"}, "unsupported type: sektion [json-pointer:/blocks/0/type]"),
    "no type": ({"text": mrkdwn()}, "missing required field: type [json-pointer:/blocks/0]"),
    "unknown field": (
        {**section(mrkdwn()), "tetx": 1},
        "invalid additional property: tetx [json-pointer:/blocks/0]",
    ),
    "empty section": ({"type": "section"}, "must define at least one of text, fields"),
    "long section": (
        section(mrkdwn("x" * 3001)),
        "must be less than 3001 characters [json-pointer:/blocks/0/text/text]",
    ),
    "empty text": (section(mrkdwn("")), "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
    "eleven fields": ({"type": "section", "fields": [mrkdwn()] * 11}, "no more than 10 items allowed"),
    "long field": ({"type": "section", "fields": [mrkdwn("x" * 2001)]}, "must be less than 2001 characters"),
    "markdown in header": ({"type": "header", "text": mrkdwn()}, "unsupported type: mrkdwn"),
    "long header": ({"type": "header", "text": plain("x" * 151)}, "must be less than 151 characters"),
    "emoji in mrkdwn": (section({**mrkdwn(), "emoji": True}), "invalid additional property: emoji"),
    "eleven in context": ({"type": "context", "elements": [mrkdwn()] * 11}, "no more than 10 items allowed"),
    "empty context": ({"type": "context", "elements": []}, "no fewer than 1 items allowed"),
    "button in context": ({"type": "context", "elements": [button()]}, "unsupported type: button"),
    "26 buttons": (actions(*(button(action_id=f"a{n}") for n in range(26))), "no more than 25 items allowed"),
    "same action twice": (actions(button(), button()), "action_id already exists in the block: go"),
    "input in actions": (actions({"type": "plain_text_input", "action_id": "i"}), "unsupported type: plain_text_input"),
    "multi select in actions": (
        actions({"type": "multi_users_select", "action_id": "i"}),
        "unsupported type: multi_users_select",
    ),
    "long label": (actions(button(text=plain("x" * 76))), "must be less than 76 characters"),
    "mrkdwn label": (actions(button(text=mrkdwn())), "unsupported type: mrkdwn"),
    "long value": (actions(button(value="v" * 2001)), "must be less than 2001 characters"),
    "empty value": (actions(button(value="")), "must be more than 0 characters"),
    "long action_id": (actions(button(action_id="a" * 256)), "must be less than 256 characters"),
    "style": (actions(button(style="default")), "must be a valid enum value"),
    "no url": (actions(button(url="javascript:alert(1)")), "must be a valid URL"),
    "long block_id": ({"type": "divider", "block_id": "b" * 256}, "must be less than 256 characters"),
    "confirm": (
        actions(button(confirm={"title": plain("t" * 101), "text": plain(), "confirm": plain(), "deny": plain()})),
        "must be less than 101 characters",
    ),
    "confirm without deny": (
        actions(button(confirm={"title": plain(), "text": plain(), "confirm": plain()})),
        "missing required field: deny",
    ),
    "six in overflow": (
        actions({"type": "overflow", "action_id": "o", "options": [option(str(n)) for n in range(6)]}),
        "no more than 5 items allowed",
    ),
    "101 options": (actions(select(options=[option(str(n)) for n in range(101)])), "no more than 100 items allowed"),
    "no options": (actions({"type": "static_select", "action_id": "s"}), "must define exactly one of options"),
    "strange initial option": (actions(select(initial_option=option("w"))), "must match one of the options"),
    "long option": (actions(select(options=[option("v" * 151)])), "must be less than 151 characters"),
    "long option text": (actions(select(options=[option("v", "x" * 76)])), "must be less than 76 characters"),
    "focus in a message": (actions(select(focus_on_load=True)), "focus_on_load is only supported in views"),
    "image without url": ({"type": "image", "alt_text": "x"}, "must define exactly one of image_url, slack_file"),
    "image without alt": (
        {"type": "image", "image_url": "https://a.example/x.png"},
        "missing required field: alt_text",
    ),
    "long alt": (picture(alt_text="x" * 2001), "must be less than 2001 characters"),
    "rich text without elements": ({"type": "rich_text", "elements": []}, "no fewer than 1 items allowed"),
    "empty rich text": (rich({"type": "text", "text": ""}), "must be more than 0 characters"),
    "unknown style": (
        rich({"type": "text", "text": "x", "style": {"blink": True}}),
        "invalid additional property: blink",
    ),
    "101 rows": (table(101), "no more than 100 items allowed"),
    "21 columns": (table(1, 21), "no more than 20 items allowed"),
    "a lot of cells": (
        {"type": "table", "rows": [[cell("x" * 5001), cell("x" * 5000)]]},
        "10001 characters in all cells",
    ),
    "data table without caption": ({"type": "data_table", "rows": table(2)["rows"]}, "missing required field: caption"),
    "ragged": (
        {"type": "data_table", "caption": "c", "rows": [[cell()], [cell(), cell()]]},
        "all rows must have the same number of cells",
    ),
    "rich header cell": (
        {"type": "data_table", "caption": "c", "rows": [[rich({"type": "text", "text": "x"})], [cell()]]},
        "unsupported type: rich_text",
    ),
    "21 points": (line(21), "no more than 20 items allowed"),
    "long chart title": ({**line(2), "title": "t" * 51}, "must be less than 51 characters"),
    "status": ({"type": "task_card", "task_id": "t", "title": "t", "status": "done"}, "must be a valid enum value"),
    "alert in a message": ({"type": "alert", "text": plain()}, "unsupported type: alert (not in a message)"),
    "empty card": ({"type": "card"}, "must define at least one of hero_image"),
    "long card": ({"type": "card", "body": mrkdwn("x" * 201)}, "must be less than 201 characters"),
    "eleven cards": (
        {"type": "carousel", "elements": [{"type": "card", "title": mrkdwn()}] * 11},
        "no more than 10 items allowed",
    ),
    "no card": ({"type": "carousel", "elements": [{"type": "divider"}]}, "must be a card"),
    "eleven children": (
        {"type": "container", "title": plain(), "child_blocks": [{"type": "divider"} for _ in range(11)]},
        "no more than 10 items allowed",
    ),
    "nested container": (
        {"type": "container", "title": plain(), "child_blocks": [{"type": "markdown", "text": "x"}]},
        "unsupported type: markdown (not in a container)",
    ),
    "child too long": (
        {"type": "container", "title": plain(), "child_blocks": [section(mrkdwn("x" * 3001))]},
        "must be less than 3001 characters [json-pointer:/blocks/0/child_blocks/0/text/text]",
    ),
    "number for text": (section({"type": "mrkdwn", "text": 7}), "must be a string"),
    "list for a block": ([], "must provide an object"),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("block", FINE.values(), ids=FINE)
def test_accepts(block: Json) -> None:
    assert validate_message({"text": "x", "blocks": [block]}) == []


@pytest.mark.parametrize(("block", "sentence"), WRONG.values(), ids=WRONG)
def test_refuses(block: Json, sentence: str) -> None:
    problems = validate_message({"text": "x", "blocks": [block]})
    assert any(sentence in str(problem) for problem in problems), [str(problem) for problem in problems]
    assert {problem.error for problem in problems} == {"invalid_blocks"}


def test_fifty_blocks_and_no_more() -> None:
    assert validate_message({"text": "x", "blocks": [{"type": "divider"} for _ in range(50)]}) == []
    (problem,) = validate_message({"text": "x", "blocks": [{"type": "divider"} for _ in range(51)]})
    assert str(problem) == "no more than 50 items allowed [json-pointer:/blocks]"


def test_block_ids_are_unique_in_the_message() -> None:
    blocks = [{"type": "divider", "block_id": "a"}, {"type": "divider", "block_id": "a"}]
    (problem,) = validate_message({"text": "x", "blocks": blocks})
    assert str(problem) == "block_id already exists: a [json-pointer:/blocks/1/block_id]"


def test_one_action_id_may_stand_in_two_blocks() -> None:
    assert validate_message({"text": "x", "blocks": [actions(button()), actions(button())]}) == []


def test_blocks_together_are_too_long_at_13_200() -> None:
    """Each block is fine by itself: the trap of long reports."""
    problems = validate_message({"text": "x", "blocks": [section(mrkdwn("x" * 3000)) for _ in range(5)]})
    assert [problem.error for problem in problems] == ["msg_blocks_too_long"]
    assert validate_message({"text": "x", "blocks": [section(mrkdwn("x" * 3000)) for _ in range(4)]}) == []


def test_two_tables_are_refused_as_attachments() -> None:
    (problem,) = validate_message({"text": "x", "blocks": [table(1), table(1)]})
    assert (problem.error, problem.sentence) == ("invalid_attachments", "only_one_table_allowed")


def test_three_charts_are_refused() -> None:
    (problem,) = validate_message({"text": "x", "blocks": [line(2), line(2), line(2)]})
    assert problem.sentence == "no more than 2 data_visualization blocks allowed"


def test_markdown_counts_together() -> None:
    problems = validate_message({"text": "x", "blocks": [{"type": "markdown", "text": "x" * 6001} for _ in range(2)]})
    assert problems[0].sentence == "markdown blocks must be less than 12001 characters together"


def test_missing_text_is_a_warning() -> None:
    (problem,) = validate_message({"blocks": [{"type": "divider"}]})
    assert (problem.error, problem.is_warning) == ("missing_text_in_message", True)


@pytest.mark.parametrize(
    ("payload", "error"),
    [
        ({"text": "x", "blocks": {"type": "divider"}}, "invalid_blocks_format"),
        ({"text": "x", "attachments": [{"text": "x"}] * 101}, "too_many_attachments"),
        ({"text": "x", "attachments": [{"txet": "x"}]}, "invalid_attachments"),
        ({"text": "x", "attachments": [{"blocks": [{"type": "no"}]}]}, "invalid_blocks"),
        ({"text": "x", "metadata": {"event_type": "cni"}}, "invalid_metadata_schema"),
        ({"text": "x", "metadata": []}, "invalid_metadata_format"),
        ({"text": "x", "metadata": {"event_type": "c", "event_payload": {"a": "x" * 9000}}}, "metadata_too_large"),
        ({"text": 7}, "invalid_arguments"),
    ],
)
def test_refuses_around_the_blocks(payload: Json, error: str) -> None:
    assert {problem.error for problem in validate_message(payload) if not problem.is_warning} == {error}


def modal(*blocks: Json, **more: Any) -> Json:
    return {"type": "modal", "title": plain("Details"), "blocks": list(blocks), **more}


INPUT: Json = {"type": "input", "label": plain(), "element": {"type": "plain_text_input", "action_id": "i"}}


@pytest.mark.parametrize(
    "view",
    [
        modal(),
        modal(INPUT, submit=plain("s" * 24), close=plain(), private_metadata="m" * 3000, callback_id="c" * 255),
        modal({"type": "alert", "text": plain("x" * 200), "level": "warning"}),
        modal({**INPUT, "element": {"type": "file_input", "action_id": "f", "max_files": 10}}, submit=plain()),
        modal(*({"type": "divider"} for _ in range(100))),
        {"type": "home", "blocks": [section(mrkdwn())]},
    ],
)
def test_accepts_view(view: Json) -> None:
    assert validate_view(view) == []


@pytest.mark.parametrize(
    ("view", "sentence"),
    [
        (modal(INPUT), "submit is required when an input is within blocks [json-pointer:/view]"),
        (modal(title=plain("t" * 25)), "must be less than 25 characters [json-pointer:/view/title/text]"),
        (modal(submit=plain("t" * 25)), "must be less than 25 characters [json-pointer:/view/submit/text]"),
        (modal(close=plain("t" * 25)), "must be less than 25 characters [json-pointer:/view/close/text]"),
        (modal(private_metadata="m" * 3001), "must be less than 3001 characters [json-pointer:/view/private_metadata]"),
        (modal(callback_id="c" * 256), "must be less than 256 characters [json-pointer:/view/callback_id]"),
        (
            modal(*({"type": "divider"} for _ in range(101))),
            "no more than 100 items allowed [json-pointer:/view/blocks]",
        ),
        (modal({"type": "markdown", "text": "x"}), "unsupported type: markdown (not in a modal)"),
        (modal(table(1)), "unsupported type: table (not in a modal)"),
        ({**modal(), "blocks": [None]}, "must provide an object [json-pointer:/view/blocks/0]"),
        (modal(state={}), "invalid additional property: state [json-pointer:/view]"),
        ({"type": "modal", "blocks": []}, "missing required field: title [json-pointer:/view]"),
        ({"type": "home", "blocks": [], "title": plain()}, "invalid additional property: title"),
        ({"type": "home", "blocks": [{"type": "alert", "text": plain()}]}, "unsupported type: alert (not in a home)"),
        ({"type": "workflow_step"}, "unsupported type: workflow_step"),
        ([], "must provide an object [json-pointer:/view]"),
    ],
)
def test_refuses_view(view: Json, sentence: str) -> None:
    problems = validate_view(view)
    assert any(sentence in str(problem) for problem in problems), [str(problem) for problem in problems]
    assert {problem.error for problem in problems} == {"invalid_arguments"}


def test_refuses_a_view_of_more_than_250_kilobytes() -> None:
    (problem,) = validate_view(modal(*(section(mrkdwn("x" * 3000)) for _ in range(90))))
    assert problem.error == "view_too_large"


WORDS = st.sampled_from(["type", "text", "elements", "blocks", "mrkdwn", "section", "actions", "options", "fields"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=20,
)


@given(JSON, JSON)
def test_never_crashes_on_strange_payloads(blocks: object, attachments: object) -> None:
    validate_message({"text": "x", "blocks": blocks, "attachments": attachments})
    validate_view({"type": "modal", "title": plain(), "blocks": blocks})
    validate_view(blocks)
