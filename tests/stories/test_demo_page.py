"""The demo as a newcomer meets it: a page in the browser, no Slack account, no cluster.

Alice breaks a node, asks, reads the verdict and its details; Bob presses a button on what she started; Carol, a guest,
is told privately why she may not; an alert is diagnosed from its own menu; the bot is killed, and answers again.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect

from tests.lab.slack.page.browser import chromium
from tests.programs import ending_with_us

pytestmark = pytest.mark.lab
PHONE = ViewportSize(width=390, height=844)
ANSWER_MS = 90_000
"""For what takes five seconds on an idle machine."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def address(browser: Browser) -> Iterator[str]:
    """The page of a running demo; afterwards Ctrl-C, and nothing may be left."""
    del browser  # where there is none, no demo is started
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "TMPDIR": directory, "COLUMNS": "120"}
        command = ending_with_us(sys.executable, "-m", "bot", "demo", "--port", "0", by=signal.SIGTERM)
        with subprocess.Popen(
            command,
            env=environment,
            text=True,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as demo:
            assert demo.stdout is not None
            said = ""
            for line in demo.stdout:
                said += line
                found = re.search(r"Open\s+(http://127\.0\.0\.1:\d+)", line)
                if found:
                    yield found[1]
                    break
            else:
                _explain(demo, said)
            demo.send_signal(signal.SIGINT)
            said, problems = demo.communicate(timeout=60)
        assert demo.returncode == 0, problems
        assert "Cleaned up." in said
        assert list(Path(directory).glob("cnibot-demo-*")) == []


def _explain(demo: subprocess.Popen[str], said: str) -> None:
    problems = demo.communicate(timeout=60)[1]
    if "namespace" in problems and "permitted" in problems:
        pytest.skip(problems.strip())
    pytest.fail(f"the demo ended with {demo.returncode}: {said}{problems}")


def open_as(browser: Browser, address: str, user: str, channel: str = "incidents") -> Page:
    page = browser.new_page(viewport=ViewportSize(width=1280, height=800))
    page.goto(f"{address}/?user={user}&channel={channel}")
    expect(page.locator(".side button").first).to_be_attached()
    return page


def say(page: Page, text: str, channel: str = "incidents") -> None:
    field = page.get_by_role("textbox", name=f"Message #{channel}")
    field.fill(text)
    field.press("Enter")


def message(page: Page | Locator, text: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("article").filter(has_text=text)


def heal(page: Page) -> None:
    page.get_by_role("button", name="Lab", exact=True).click()
    panel = page.get_by_role("complementary", name="Lab")
    panel.get_by_role("button", name="Heal everything").click()
    expect(panel.get_by_text("Nothing is broken")).to_be_visible(timeout=ANSWER_MS)
    panel.get_by_role("button", name="Close the lab").click()


def thread_of(page: Page, root: Locator) -> Locator:
    root.get_by_role("button", name=re.compile(r"\d+ repl")).click(timeout=ANSWER_MS)
    return page.get_by_role("complementary", name="Thread")


def verdict_in(thread: Locator) -> Locator:
    """The first verdict of a thread; the evidence below it, a file, says the same words."""
    return thread.get_by_role("article").filter(has=thread.page.get_by_role("button", name="Details")).first


def fits_a_phone(page: Page, verdict: Locator) -> None:
    """What to do is on the first screen, the whole of it on little more."""
    before = page.viewport_size
    page.set_viewport_size(PHONE)
    whole, button = (
        one.bounding_box() for one in (verdict, verdict.get_by_role("button", name=re.compile("^Propose fix")))
    )
    assert whole is not None
    assert button is not None
    assert button["y"] + button["height"] - whole["y"] <= PHONE["height"] - 120, "bars at the top and the bottom"
    assert whole["height"] <= 1.2 * PHONE["height"]
    assert before is not None
    page.set_viewport_size(before)


def test_from_a_broken_node_to_a_verdict_that_two_people_work_on(browser: Browser, address: str) -> None:
    alice = open_as(browser, address, "alice")
    alice.get_by_role("button", name="Lab", exact=True).click()
    panel = alice.get_by_role("complementary", name="Lab")
    panel.get_by_role("button", name="2 a.m. on node-2: the story").click()
    expect(panel.get_by_role("status")).to_have_text("Broken: node-2.", timeout=ANSWER_MS)
    panel.get_by_role("button", name="Close the lab").click()

    say(alice, "/cni diagnose seldon-mesh")
    root = message(alice, "seldon-mesh").last
    expect(root).to_contain_text("BROKEN", timeout=ANSWER_MS)
    thread = thread_of(alice, root)
    verdict = verdict_in(thread)
    expect(verdict).to_contain_text("proxy ARP is off, 8 pods have no gateway", timeout=ANSWER_MS)
    expect(verdict).to_contain_text("Not calico-8689")
    expect(verdict.locator("pre").first).to_contain_text("proxy_arp=1")
    fits_a_phone(alice, verdict)

    verdict.get_by_role("button", name="Details").click()
    details = alice.get_by_role("dialog")
    expect(details).to_contain_text("Proxy ARP is off on the pod's host interface", timeout=ANSWER_MS)
    details.get_by_role("button", name="Close").last.click()
    expect(details).to_be_hidden()

    carol = open_as(browser, address, "carol")
    carols = thread_of(carol, message(carol, "seldon-mesh").last)
    verdict_in(carols).get_by_role("button", name="Re-run").click()
    expect(message(carol, "Only visible to you").last).to_be_visible(timeout=ANSWER_MS)

    heal(alice)
    bob = open_as(browser, address, "bob")
    bobs = thread_of(bob, message(bob, "seldon-mesh").last)
    verdict_in(bobs).get_by_role("button", name="Re-run").click()
    expect(message(bobs, "HEALTHY").last).to_be_visible(timeout=ANSWER_MS)
    expect(message(bobs, "@bob").first).to_be_visible()


def test_an_alert_is_diagnosed_before_anybody_asks_and_again_from_its_own_menu(browser: Browser, address: str) -> None:
    page = open_as(browser, address, "bob", "alerts")
    page.get_by_role("button", name="Lab", exact=True).click()
    page.get_by_role("button", name="Fire an alert").click()
    page.get_by_role("button", name="Close the lab").click()
    alert = message(page, "[FIRING:1] SeldonModelTimeouts").last
    thread = thread_of(page, alert)
    expect(message(thread, "Not the network").last).to_be_visible(timeout=ANSWER_MS)
    expect(message(thread, "HEALTHY").last).to_be_visible(timeout=ANSWER_MS)

    alert.hover()
    alert.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Diagnose this alert").click()
    expect(message(thread, "@bob").first).to_be_visible(timeout=ANSWER_MS)


def test_a_bot_killed_in_the_middle_finishes_what_it_had_begun(browser: Browser, address: str) -> None:
    page = open_as(browser, address, "alice", "incidents")
    page.get_by_role("button", name="Lab", exact=True).click()

    say(page, "/cni diagnose shop")
    root = message(page, "shop").last
    expect(root).to_be_visible(timeout=ANSWER_MS)
    page.get_by_role("button", name="kill -9").click()

    expect(page.get_by_text("It is started again")).to_be_visible()
    expect(root).to_contain_text("HEALTHY", timeout=ANSWER_MS)
    expect(message(page, "shop")).to_have_count(1)
