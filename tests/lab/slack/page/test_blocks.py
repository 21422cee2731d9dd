from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.lab.slack.page.attachments import attachment_html
from bot.lab.slack.page.blocks import Context, block_html
from bot.lab.slack.page.directory import Directory
from bot.lab.slack.page.page_actions import alert
from tests.lab.slack.page.gallery import HOSTILE, hostile_blocks, verdict
from tests.lab.slack.page.html import assert_harmless, seen

NOW = datetime(2026, 11, 23, 2, 10, tzinfo=UTC)
CONTEXT = Context(
    directory=Directory(users={"U0ALICE": "alice"}, zone=UTC),
    now=NOW,
    picture=lambda url: "/files/F1" if url == "F1" else None,
)

KEYS = (
    *("type", "text", "title", "elements", "fields", "rows", "url", "image_url", "alt_text", "style", "name", "value"),
    *("level", "footer", "ts", "color", "column_settings", "align", "timestamp", "format", "slack_file", "indent"),
    *("child_blocks", "offset", "user_id", "range", "fallback", "blocks", "mrkdwn_in", "tasks", "details"),
)
SCRAPS: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12) | st.just(HOSTILE),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)
"""Whatever JSON can hold, under the keys that the page looks at."""
KINDS = (
    *("header", "section", "context", "divider", "image", "rich_text", "markdown", "table"),
    *("alert", "container", "task_card", "plan", "unheard_of"),
)


def html_of(block: dict[str, Any]) -> str:
    return str(block_html(block, CONTEXT))


@pytest.mark.parametrize(
    "block", [block for block in verdict() if block["type"] != "actions"], ids=lambda one: one["type"]
)
def test_every_kind_of_block_shows_its_words(block: dict[str, Any]) -> None:
    words = {
        "header": "Proxy ARP is off on the pod's host interface",
        "section": "cannot reach their gateway" if "text" in block else "seldon-mesh",
        "divider": "",
        "rich_text": "sysctl -w net.ipv4.conf.cali1.proxy_arp=1",
        "table": "node-2",
        "markdown": "Next",
        "context": "3 of 3 nodes inspected",
    }
    assert words[block["type"]] in assert_harmless(html_of(block)).text


@pytest.mark.parametrize(
    "block", [block for block in hostile_blocks() if block["type"] != "actions"], ids=lambda one: one["type"]
)
def test_hostile_text_stays_text(block: dict[str, Any]) -> None:
    found = assert_harmless(html_of(block))
    assert "window.pwned" in found.text
    assert not any("javascript" in address for address in found.addresses)


@given(st.sampled_from(KINDS), st.dictionaries(st.sampled_from(KEYS), SCRAPS, max_size=6))
def test_no_block_breaks_the_page(kind: str, scraps: dict[str, Any]) -> None:
    """The workspace refuses what Slack would; the page still takes whatever comes."""
    block = {**scraps, "type": kind}
    assert_harmless(html_of(block))


@given(st.dictionaries(st.sampled_from(KEYS), SCRAPS, max_size=6))
def test_no_attachment_breaks_the_page(attachment: dict[str, Any]) -> None:
    assert_harmless(attachment_html(attachment, CONTEXT))


def test_a_block_that_is_not_drawn_says_so() -> None:
    assert "data_visualization" in html_of({"type": "data_visualization"})


def test_a_picture_is_shown_from_here_and_never_fetched_from_elsewhere() -> None:
    ours = seen(html_of({"type": "image", "slack_file": {"id": "F1"}, "alt_text": "The matrix"}))
    theirs = seen(html_of({"type": "image", "image_url": "https://evil.example/x.png", "alt_text": "Not loaded"}))
    assert ours.addresses == {"/files/F1"}
    assert "img" not in theirs.tags
    assert "Not loaded" in theirs.text


def test_text_of_a_plain_text_object_is_not_formatted() -> None:
    assert "<b>" not in html_of({"type": "section", "text": {"type": "plain_text", "text": "*not bold*"}})


def test_columns_of_a_table_are_aligned_as_asked() -> None:
    rows = [[{"type": "raw_text", "text": "pods"}], [{"type": "raw_text", "text": "8"}]]
    html = html_of({"type": "table", "rows": rows, "column_settings": [{"align": "right"}]})
    assert '<th class="right">pods</th>' in html
    assert '<td class="right">8</td>' in html


def test_rich_text_styles_nest() -> None:
    element = {"type": "text", "text": "x", "style": {"bold": True, "code": True}}
    html = html_of({"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [element]}]})
    assert "<b><code>x</code></b>" in html


def test_an_alert_of_alertmanager_shows_all_it_says() -> None:
    firing = attachment_html(alert(is_resolved=False, at=NOW.timestamp())["attachments"][0], CONTEXT)
    resolved = attachment_html(alert(is_resolved=True, at=NOW.timestamp())["attachments"][0], CONTEXT)
    found = assert_harmless(firing)
    assert "[FIRING:1] SeldonModelTimeouts" in found.text
    assert "dial tcp 10.43.51.131:9004: i/o timeout" in found.text
    assert "seldon-mesh" in found.text
    assert "today 02:10" in found.text
    assert "--bar:#d72638" in firing
    assert "--bar:#2eb67d" in resolved


def test_an_attachment_formats_only_what_it_says_it_formats() -> None:
    html = attachment_html({"text": "*x*", "pretext": "*y*", "mrkdwn_in": ["pretext"]}, CONTEXT)
    assert "<b>y</b>" in html
    assert "*x*" in html
