"""The page in a real browser, beside a workspace in which no bot listens."""

import re
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, ViewportSize, expect

from tests.architecture.tree import ROOT
from tests.lab.slack.page.browser import chromium

Open = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


def served() -> Generator[str]:
    """Where a gallery is served."""
    command = [sys.executable, "-m", "tests.lab.slack.page.gallery"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as gallery:
        assert gallery.stdout is not None
        assert gallery.stdin is not None
        yield gallery.stdout.readline().strip()
        gallery.stdin.close()
        assert gallery.wait(timeout=30) == 0


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Where the gallery of all tests is served."""
    yield from served()


@pytest.fixture
def window(browser: Browser, address: str) -> Iterator[Open]:
    """Opens a window as somebody; afterwards nothing may have been fetched from elsewhere, run or complained."""
    pages: list[Page] = []
    asked: list[str] = []
    said: list[str] = []

    def hear(message: ConsoleMessage) -> None:
        if message.type == "error":
            said.append(message.text)

    def opened(user: str, channel: str = "incidents", *, width: int = 1280, dark: bool = False) -> Page:
        view = ViewportSize(width=width, height=800)
        context = browser.new_context(viewport=view, color_scheme="dark" if dark else "light")
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("console", hear)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{address}/?user={user}&channel={channel}")
        expect(page.locator(".side button").first).to_be_attached()
        pages.append(page)
        return page

    yield opened
    for page in pages:
        assert page.evaluate("window.pwned") is None
        page.context.close()
    assert [url for url in asked if not url.startswith((address, address.replace("http", "ws")))] == []
    assert said == []


def compose(page: Page, text: str, channel: str = "incidents") -> Locator:
    field = page.get_by_role("textbox", name=f"Message #{channel}")
    field.fill(text)
    return field


def message(page: Page, text: str) -> Locator:
    return page.get_by_role("article").filter(has_text=text)


def sit_down_as(page: Page, name: str) -> None:
    page.get_by_role("button", name="Change who you are").click()
    page.get_by_role("menuitem", name=name).click()
    expect(page.get_by_role("button", name="Change who you are")).to_contain_text(name)


def test_messages_show_what_slack_would_show(window: Open) -> None:
    page = window("alice")
    verdict = message(page, "calico-8689").first

    expect(verdict.get_by_role("heading", name="Proxy ARP is off")).to_be_visible()
    expect(verdict.locator("b", has_text="8 pods on")).to_be_visible()
    expect(verdict.locator("code", has_text="169.254.1.1")).to_be_visible()
    expect(verdict.locator("blockquote")).to_have_text("dial tcp 10.43.51.131:9004: i/o timeout")
    expect(verdict.locator(".mention.me")).to_have_text("@alice")
    expect(verdict.locator("time", has_text="today")).to_be_visible()
    expect(verdict.get_by_role("cell", name="node-2")).to_be_visible()
    expect(verdict.get_by_role("link", name="calico#8689")).to_have_attribute("href", "https://example.org/8689")
    expect(verdict.get_by_role("button", name="Re-run")).to_be_visible()
    expect(verdict.locator(".reaction")).to_have_text("👀1")
    expect(message(page, "Anyone?").locator("code")).to_have_text("seldon-mesh")


def test_hostile_text_is_only_text_in_every_place(window: Open) -> None:
    """The fixture looks at `window.pwned` and at the console afterwards."""
    page = window("alice")
    hostile = page.get_by_role("article").filter(has_text="window.pwned")
    expect(hostile.first).to_be_visible()
    assert hostile.count() >= 2
    assert page.locator("article script, article [onerror], article iframe").count() == 0

    compose(page, "<script>window.pwned = 4</script><img src=x onerror='window.pwned = 5'>").press("Enter")
    expect(page.get_by_text("window.pwned = 5")).to_be_visible()


def test_what_one_person_says_another_sees_with_a_mark_until_read(window: Open) -> None:
    alice, bob = window("alice", "general"), window("bob", "incidents")

    compose(alice, "Lunch, @bob?", "general").press("Enter")

    mark = bob.get_by_role("button", name=re.compile(r"general"))
    expect(mark).to_contain_text("unread")
    expect(mark.locator(".count")).to_have_text("1 mentions")
    mark.click()
    expect(message(bob, "Lunch").locator(".mention.me")).to_have_text("@bob")
    expect(mark).not_to_contain_text("unread")


def test_an_ephemeral_message_is_for_one_person(window: Open) -> None:
    alice, bob = window("alice"), window("bob")

    expect(message(alice, "There is no namespace")).to_contain_text("Only visible to you")
    expect(message(bob, "Anyone?")).to_be_visible()
    expect(message(bob, "There is no namespace")).to_have_count(0)


def test_a_thread_opens_beside_and_counts_its_replies(window: Open) -> None:
    page = window("bob")
    replies = page.get_by_role("button", name=re.compile(r"\d repl")).first
    before = int(re.findall(r"\d+", replies.inner_text())[0])

    replies.click()
    thread = page.get_by_role("complementary", name="Thread")
    expect(thread.get_by_text("Looking at 3 nodes")).to_be_visible()
    expect(thread.get_by_text("(edited)")).to_be_visible()
    thread.get_by_role("textbox", name="Reply").fill("Thanks, cni")
    thread.get_by_role("textbox", name="Reply").press("Enter")

    expect(thread.get_by_text("Thanks, cni")).to_be_visible()
    expect(replies).to_contain_text(f"{before + 1} replies")
    thread.get_by_role("button", name="Close the thread").click()
    expect(thread).to_be_hidden()


def test_files_are_shown_and_served_so_that_no_browser_runs_them(window: Open, address: str) -> None:
    page = window("bob")
    page.get_by_role("button", name=re.compile(r"\d repl")).first.click()
    thread = page.get_by_role("complementary", name="Thread")

    picture = thread.get_by_role("img", name="The matrix")
    expect(picture).to_be_visible()
    expect(picture).to_have_js_property("naturalWidth", 1)
    thread.get_by_text("evidence.md").click()
    expect(thread.get_by_text("window.pwned = 1")).to_be_visible()
    answer = page.request.get(f"{address}/files/F0EVI")
    assert answer.headers["content-type"].startswith("text/plain")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_a_modal_shows_its_errors_at_its_inputs_and_closes_with_escape(window: Open) -> None:
    page = window("carol")
    modal = page.get_by_role("dialog")
    expect(modal.get_by_role("heading", name="Not it")).to_be_visible()

    modal.get_by_role("button", name="Send").click()
    expect(modal.get_by_role("alert").filter(has_text="required")).to_be_visible()
    modal.get_by_role("textbox", name="Reason").fill("It was the cable")
    modal.get_by_role("button", name="Send").click()
    expect(modal.get_by_role("alert").filter(has_text="trouble connecting")).to_be_visible()
    expect(modal.get_by_role("textbox", name="Reason")).to_have_value("It was the cable")
    modal.get_by_role("textbox", name="Reason").press("Escape")
    expect(modal).to_be_hidden()


def test_a_button_asks_first_and_says_when_nobody_answers(window: Open) -> None:
    page = window("bob")
    press = message(page, "calico-8689").first.get_by_role("button", name="Not it")

    press.click()
    asking = page.get_by_role("dialog")
    expect(asking).to_contain_text("It will be recorded.")
    asking.get_by_role("button", name="No", exact=True).click()
    expect(asking).to_be_hidden()
    expect(press).to_be_enabled()

    press.click()
    page.get_by_role("dialog").get_by_role("button", name="Yes, record it").click()
    expect(message(page, "dispatch_failed").last).to_contain_text("Only visible to you")


def test_a_command_is_hinted_completed_and_sent_with_the_keyboard(window: Open) -> None:
    page = window("alice")
    field = compose(page, "/")
    offers = page.get_by_role("listbox")
    expect(offers.get_by_role("option")).to_contain_text("diagnose NAMESPACE")

    field.press("Tab")
    expect(field).to_have_value("/cni ")
    field.press("ArrowDown")
    field.press("Tab")
    expect(field).to_have_value("/cni status ")
    field.press("Enter")

    expect(message(page, "/cni failed with the error 'dispatch_failed'").last).to_be_visible()
    expect(field).to_have_value("")


def test_a_thread_can_be_opened_without_a_mouse(window: Open) -> None:
    page = window("bob")
    root = message(page, "calico-8689").first
    root.get_by_role("button", name="Reply in thread").focus()

    expect(root.get_by_role("toolbar")).to_have_css("opacity", "1")
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary", name="Thread")).to_be_visible()
    expect(page.get_by_role("textbox", name="Reply")).to_be_focused()


def test_everybody_sees_their_own_channels(window: Open) -> None:
    page = window("alice", "general")
    expect(page.get_by_role("heading", name="general", exact=True)).to_be_visible()
    sit_down_as(page, "eve")

    side = page.get_by_role("navigation")
    expect(side).to_contain_text("External")
    expect(side.locator("[data-channel]")).to_have_text(["shared"])
    expect(page.get_by_role("heading", name="shared", exact=True)).to_be_visible()
    sit_down_as(page, "bob")
    expect(side.locator("[data-channel]")).to_have_count(4)


def test_a_page_that_is_loaded_again_shows_the_same_person_and_channel(window: Open) -> None:
    """Windows load themselves again when they were out of touch for long."""
    page = window("alice", "general")
    sit_down_as(page, "eve")
    expect(page).to_have_url(re.compile("user=eve&channel=shared"))
    page.reload()
    expect(page.get_by_role("heading", name="shared", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Change who you are")).to_contain_text("eve")
    page.get_by_role("navigation").get_by_role("button", name="cni").click()
    expect(page).to_have_url(re.compile("channel=home"))
    page.reload()
    expect(page.get_by_role("heading", name="cni", exact=True)).to_be_visible()


def test_the_lab_panel_lets_alertmanager_post_also_while_slack_is_down(window: Open) -> None:
    page = window("alice")
    page.get_by_role("button", name="Lab", exact=True).click()
    panel = page.get_by_role("complementary", name="Lab")

    panel.get_by_role("button", name="Fire an alert").click()
    page.get_by_role("button", name=re.compile("alerts")).click()
    alert = message(page, "[FIRING:1] SeldonModelTimeouts").last
    expect(alert.locator(".attachment")).to_have_css("border-left-color", "rgb(215, 38, 56)")
    expect(alert).to_contain_text("Alertmanager")

    down = panel.get_by_role("switch", name="Slack is down")
    down.click()
    panel.get_by_role("button", name="Resolve it").click()
    expect(page.get_by_text("Alertmanager does not reach Slack.")).to_be_visible()
    down.click()
    panel.get_by_role("button", name="Resolve it").click()
    expect(message(page, "[RESOLVED]").last).to_be_visible()


def test_the_home_tab_is_what_the_app_published(window: Open) -> None:
    page = window("alice", "home")
    expect(page.get_by_role("heading", name="Proxy ARP is off")).to_be_visible()
    page.get_by_role("button", name="general").click()
    expect(page.get_by_role("heading", name="general", exact=True)).to_be_visible()


def test_a_link_to_a_message_leads_to_its_thread(window: Open) -> None:
    page = window("alice", "general")
    page.get_by_role("link", name="the verdict").click()

    expect(page.get_by_role("heading", name="incidents", exact=True)).to_be_visible()
    expect(page.get_by_role("complementary", name="Thread").get_by_text("Looking at 3 nodes")).to_be_visible()


def test_a_long_channel_shows_its_newest_messages_first(window: Open) -> None:
    page = window("bob", "shared")
    notes = page.get_by_role("article")
    expect(notes).to_have_count(50)
    expect(notes.last).to_be_in_viewport()

    page.get_by_role("button", name="Show earlier messages").click()
    expect(notes).to_have_count(60)
    expect(notes.first).to_contain_text("Note 0")
    expect(page.get_by_role("button", name="Show earlier messages")).to_be_hidden()


def test_a_message_has_a_menu_with_the_apps_shortcuts(window: Open) -> None:
    page = window("bob")
    root = message(page, "Anyone?")
    root.hover()
    root.get_by_role("button", name="More actions").click()
    page.get_by_role("menuitem", name="Diagnose this alert").click()
    expect(message(page, "dispatch_failed").last).to_be_visible()


def test_an_overflow_menu_offers_its_options(window: Open) -> None:
    page = window("bob")
    message(page, "calico-8689").first.locator(".actions").get_by_role("button", name="More actions").click()
    expect(page.get_by_role("menuitem")).to_have_text(["Evidence", "Path"])


def test_a_reaction_is_added_and_taken_away(window: Open) -> None:
    page = window("alice")
    root = message(page, "Anyone?")
    root.hover()
    root.get_by_role("button", name="React").click()
    page.get_by_role("menuitem").filter(has_text="🎉").click()
    mine = root.locator(".reaction", has_text="🎉")
    expect(mine).to_have_attribute("aria-pressed", "true")
    mine.click()
    expect(mine).to_have_count(0)


def test_a_phone_shows_one_thing_at_a_time(window: Open) -> None:
    page = window("bob", width=390)
    side = page.get_by_role("navigation")
    expect(side).to_be_hidden()
    expect(message(page, "Anyone?")).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.get_by_role("button", name="Channels").click()
    expect(side).to_be_visible()
    side.get_by_role("button", name=re.compile("alerts")).click()
    expect(side).to_be_hidden()
    expect(page.get_by_role("heading", name="alerts", exact=True)).to_be_visible()


def test_other_names_for_this_machine_are_refused(window: Open, address: str) -> None:
    """A web page elsewhere may resolve its own name to this machine."""
    page = window("alice")
    assert page.request.get(address, headers={"Host": "evil.example"}).status == 400
