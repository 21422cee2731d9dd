"""The verdict on a phone at 2 a.m., in a real browser: what to do is on the first screen, all of it on little more."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, FloatRect, Locator, Page, ViewportSize, expect

from tests.lab.slack.page.test_page import address, browser

__all__ = ["address", "browser"]
PHONE = ViewportSize(width=390, height=844)


@pytest.fixture
def thread(browser: Browser, address: str) -> Iterator[Page]:
    context = browser.new_context(viewport=PHONE)
    page = context.new_page()
    page.goto(f"{address}/?user=alice&channel=alerts")
    page.get_by_role("button", name=re.compile(r"\d repl")).click()
    yield page
    context.close()


def box(place: Locator) -> FloatRect:
    found = place.bounding_box()
    assert found is not None
    return found


def test_the_first_button_is_on_the_first_screen_and_the_verdict_on_little_more(thread: Page) -> None:
    panel = thread.get_by_role("complementary", name="Thread")
    verdict = panel.get_by_role("article").filter(has=thread.get_by_role("button", name="Details"))
    expect(verdict.get_by_role("heading")).to_contain_text("BROKEN node-2: proxy ARP is off")
    whole, button = box(verdict), box(verdict.get_by_role("button", name="Details"))

    assert button["y"] + button["height"] - whole["y"] <= PHONE["height"] - 120, "bars at the top and the bottom"
    assert whole["height"] <= 1.2 * PHONE["height"]


def test_escape_leads_back_to_the_channel(thread: Page) -> None:
    panel = thread.get_by_role("complementary", name="Thread")
    expect(panel).to_be_visible()
    thread.keyboard.press("Escape")

    expect(panel).to_be_hidden()
