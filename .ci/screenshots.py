"""Takes the pictures of the page that README.md shows, of the demo as it really runs.

python .ci/screenshots.py          needs a chromium; writes docs/pictures/*.png
"""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, ViewportSize, expect, sync_playwright

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
WIDE, PHONE = ViewportSize(width=1280, height=800), ViewportSize(width=390, height=844)
SCALE = 1.5
"""Device pixels: legible on dense screens, and still small files."""
COLOURS = 256
expect.set_options(timeout=90_000)


@contextmanager
def demo() -> Iterator[str]:
    """The page's address, while the demo runs."""
    with subprocess.Popen(("cnibot", "demo", "--port", "0"), stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            yield next(found[1] for line in running.stdout if (found := re.search(r"Open\s+(http://\S+)", line)))
        finally:
            running.send_signal(signal.SIGINT)


def window(browser: Browser, address: str, user: str, *, dark: bool = False, phone: bool = False) -> Page:
    """A window of somebody in #incidents."""
    scheme: Literal["dark", "light"] = "dark" if dark else "light"
    size = PHONE if phone else WIDE
    page = browser.new_page(viewport=size, color_scheme=scheme, device_scale_factor=2 if phone else SCALE)
    page.goto(f"{address}/?user={user}&channel=incidents")
    expect(page.locator(".side button").first).to_be_attached()
    return page


def keep(page: Page, name: str) -> None:
    """Write the picture with few colours."""
    page.mouse.move(1, 1)
    page.evaluate("document.fonts.ready")
    taken = Image.open(BytesIO(page.screenshot(animations="disabled"))).convert("RGB")
    PICTURES.mkdir(parents=True, exist_ok=True)
    path = PICTURES / f"{name}.png"
    taken.quantize(COLOURS, kmeans=3, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {path.stat().st_size // 1000} kB")


def message(place: Page | Locator, text: str) -> Locator:
    """The newest message with this text."""
    return place.get_by_role("article").filter(has_text=text).last


def verdict_of(thread: Locator) -> Locator:
    """The verdict; the evidence below it, a file, says the same words."""
    return thread.get_by_role("article").filter(has=thread.page.get_by_role("button", name="Details"))


def open_thread(page: Page) -> Locator:
    """The thread of the newest incident, its verdict at the top of the view."""
    root = message(page, "seldon-mesh")
    expect(root).to_contain_text("BROKEN")
    root.get_by_role("button", name=re.compile(r"\d+ repl")).click()
    thread = page.get_by_role("complementary", name="Thread")
    verdict = verdict_of(thread)
    expect(verdict).to_contain_text("calico-proxy-arp-off")
    expect(message(thread, "All evidence")).to_be_attached()
    for picture in thread.get_by_role("img", name=re.compile("way|matrix")).all():
        expect(picture).not_to_have_js_property("naturalWidth", 0)
    verdict.evaluate("one => one.scrollIntoView({block: 'start'})")
    return thread


def take(browser: Browser, address: str) -> None:
    """The founding story, in pictures."""
    alice = window(browser, address, "alice")
    alice.get_by_role("textbox", name="Message #incidents").fill(
        "Models time out since 2 a.m.: `dial tcp 10.43.51.131:9004: i/o timeout`"
    )
    alice.keyboard.press("Enter")
    alice.get_by_role("button", name="Lab", exact=True).click()
    panel = alice.get_by_role("complementary", name="Lab")
    panel.get_by_role("button", name="2 a.m. on node-2: the story").click()
    expect(panel.get_by_role("status")).to_contain_text("Broken:")
    field = alice.get_by_role("textbox", name="Message #incidents")
    field.fill("/cni ")
    expect(alice.get_by_role("option").first).to_be_visible()
    keep(alice, "page-lab")
    field.fill("/cni diagnose seldon-mesh")
    alice.keyboard.press("Enter")
    panel.get_by_role("button", name="Close the lab").click()
    open_thread(alice)
    keep(alice, "page-verdict")
    alice.get_by_role("complementary", name="Thread").locator(".scroll").evaluate("one => one.scrollTo(0, 1e9)")
    keep(alice, "page-pictures")

    bob = window(browser, address, "bob", dark=True)
    thread = open_thread(bob)
    verdict_of(thread).get_by_role("button", name="Details").click()
    expect(bob.get_by_role("dialog")).to_contain_text("Why")
    keep(bob, "page-details-dark")

    phone = window(browser, address, "alice", phone=True)
    open_thread(phone)
    keep(phone, "page-phone")


def main() -> int:
    """Exit code 1 without a chromium."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no chromium here: .ci/setup browser")
        return 1
    with demo() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        take(browser, address)
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
