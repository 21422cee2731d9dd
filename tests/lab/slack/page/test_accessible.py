"""The page for people who do not point or do not see it: axe-core, sizes to touch, borders, and the keyboard."""

import re
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # pyright: ignore[reportMissingTypeStubs] it has none
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from tests.lab.slack.page.test_page import Open, address, browser, served, window

__all__ = ["address", "browser", "window"]
PHONE = ViewportSize(width=390, height=844)
TOUCH = 44
"""Of WCAG 2.2, 2.5.5: both sides of what is touched, in CSS pixels."""
Go = Callable[[Page], object]


def thread(page: Page) -> None:
    page.get_by_role("button", name=re.compile(r"\d repl")).first.click()
    expect(page.get_by_role("complementary", name="Thread")).to_be_visible()


def lab(page: Page) -> None:
    page.get_by_role("button", name="Lab").click()
    expect(page.get_by_role("complementary", name="Lab")).to_be_visible()


def modal(page: Page) -> None:
    expect(page.get_by_role("dialog")).to_be_visible()


def nothing(page: Page) -> None:
    expect(page.get_by_role("main")).to_be_visible()


PLACES = {
    "channel": ("alice", "incidents", nothing),
    "thread": ("alice", "alerts", thread),
    "home": ("alice", "home", nothing),
    "lab": ("alice", "incidents", lab),
    "modal": ("carol", "incidents", modal),
}


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("place", PLACES)
def test_axe_finds_no_serious_violation(window: Open, place: str, dark: bool) -> None:  # noqa: FBT001
    user, channel, go = PLACES[place]
    page = window(user, channel, dark=dark)
    go(page)

    axe: Any = Axe()
    violations: list[dict[str, Any]] = axe.run(page, options={"resultTypes": ["violations"]}).response["violations"]

    bad = [one for one in violations if one["impact"] in {"serious", "critical"}]
    assert [(one["id"], [node["html"][:160] for node in one["nodes"][:4]]) for one in bad] == []


def test_there_is_one_main_part(window: Open) -> None:
    expect(window("alice").get_by_role("main")).to_have_count(1)


@pytest.mark.parametrize("place", ["channel", "thread", "home", "lab", "modal"])
def test_what_is_touched_is_large_enough_for_a_thumb(browser: Browser, address: str, place: str) -> None:
    user, channel, go = PLACES[place]
    context = browser.new_context(viewport=PHONE, has_touch=True, is_mobile=True)
    page = context.new_page()
    page.goto(f"{address}/?user={user}&channel={channel}")
    go(page)

    small = [shown for one in targets(page) if (shown := too_small(one))]
    context.close()

    assert small == []


def targets(page: Page) -> list[Locator]:
    """What a finger is meant to hit, as far as it can be seen; links inside of sentences are exempt."""
    found = page.locator("button, [role=button], [role=combobox], select, summary, input, textarea, .q-toggle")
    return [one for one in found.all() if one.is_visible()]


def too_small(target: Locator) -> str:
    box = target.evaluate(
        """(one) => {
          const field = one.closest('.q-field, .q-toggle') || one;
          const box = field.getBoundingClientRect();
          return [box.width, box.height];
        }"""
    )
    name = target.evaluate(
        "(one) => one.ariaLabel || one.textContent.trim().slice(0, 40) || one.outerHTML.slice(0, 90)"
    )
    return "" if min(box) >= TOUCH - 0.5 else f"{name}: {box[0]:.0f} by {box[1]:.0f}"


@pytest.mark.parametrize("name", ["Thread", "Lab"])
def test_escape_closes_what_lies_over_the_channel_wherever_the_focus_is(window: Open, name: str) -> None:
    page = window("alice", "alerts")
    (thread if name == "Thread" else lab)(page)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Escape")

    expect(page.get_by_role("complementary", name=name)).to_be_hidden()


def test_escape_closes_a_modal_and_leaves_the_thread_under_it(browser: Browser) -> None:
    """In a gallery of its own: who closes a modal has closed it in every window."""
    with contextmanager(served)() as own, browser.new_context() as context:
        page = context.new_page()
        page.goto(f"{own}/?user=carol&channel=incidents")
        modal(page)
        page.evaluate("document.activeElement.blur()")
        page.keyboard.press("Escape")

        expect(page.get_by_role("dialog")).to_be_hidden()


def test_a_count_says_what_it_counts(window: Open) -> None:
    """Read aloud, "general 1" is no sentence."""
    page = window("bob", "random")
    here = page.get_by_role("navigation", name="Channels")
    window("alice", "general").get_by_role("textbox", name="Message #general").press_sequentially("@bob look\n")

    expect(here.get_by_role("button", name=re.compile(r"general unread 1 mentions"))).to_be_visible()


def test_an_unknown_command_is_answered_as_slack_does(window: Open) -> None:
    page = window("alice", "general")
    field = page.get_by_role("textbox", name="Message #general")
    field.fill("/deploy now")
    field.press("Enter")

    answer = page.get_by_role("article").filter(has_text="/deploy is not a valid command")
    expect(answer).to_contain_text('messages that start with the "/" character are interpreted as commands')
    expect(answer).to_contain_text("Only")
    field.fill(" /etc/hosts it is")
    field.press("Enter")
    expect(page.get_by_role("article").filter(has_text="/etc/hosts it is")).to_be_visible()
