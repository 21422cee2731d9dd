"""The page of an incident: all of it, as text only, on a telephone and on paper."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, expect

from bot.render.incident_page import page
from bot.render.incidents import encoded, post_mortem
from tests.lab.slack.page.browser import chromium
from tests.render.chronicles import a_chronicle, a_report, hostile


class Parsed(HTMLParser):
    """Its elements and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_everything_is_there() -> None:
    found = Parsed(page(a_chronicle()))

    for part in ("inc-0a1b2c3d", "KubePodNotReady", "pod shop/a", "U0BOB", "restarted calico-node by hand",
                 "no answer to ARP", "DEGRADED", "What to do", "Findings"):  # fmt: skip
        assert part in found.text
    assert "script" not in found.tags
    assert not [name for name, _ in found.attributes if name.startswith("on")]
    assert found.text.count("✗ 4/4") == 2, "node-1 and node-3 do not reach node-2"


HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)> </style> \u202e ]]> &amp;"


def test_what_the_cluster_says_is_text() -> None:
    clean = Parsed(page(a_chronicle(hostile(a_report(), "harmless"))))
    found = Parsed(page(a_chronicle(hostile(a_report(), HOSTILE), text=HOSTILE)))

    assert found.tags == clean.tags
    assert "<script>alert(1)</script>" in found.text
    assert "\u202e" not in found.text


@given(st.text(max_size=80))
def test_no_text_changes_what_the_page_is_made_of(text: str) -> None:
    clean = Parsed(page(a_chronicle(hostile(a_report(), "harmless"), text="harmless")))

    assert set(Parsed(page(a_chronicle(hostile(a_report(), text or "x"), text=text or "x"))).tags) <= set(clean.tags)


def test_secrets_are_struck_out_in_all_forms() -> None:
    secret = "password=hunter2-hunter2"
    for form in (page, post_mortem, encoded):
        assert "hunter2" not in form(a_chronicle(text=f"used {secret} there"))


def test_only_addresses_become_links() -> None:
    links = re.findall(r'href="([^"]*)"', page(a_chronicle()))

    assert all(link.startswith("https://") for link in links)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "incident.html"
    path.write_text(page(a_chronicle(a_report(nodes=30))), encoding="utf-8")
    return path


@pytest.mark.parametrize("width", [360, 1280])
def test_it_fits_the_window_without_a_script(browser: Browser, document: Path, width: int) -> None:
    context = browser.new_context(java_script_enabled=False, viewport={"width": width, "height": 800})
    shown = context.new_page()
    shown.goto(document.as_uri())
    expect(shown.get_by_role("heading", level=1)).to_be_visible()
    expect(shown.get_by_text("restarted calico-node by hand").last).to_be_visible()
    box = shown.locator("body").bounding_box()
    wide = shown.locator("table.matrix").bounding_box()
    holder = shown.locator(".scroll").first.bounding_box()
    context.close()

    assert box is not None
    assert wide is not None
    assert holder is not None
    assert box["width"] <= width
    assert holder["width"] <= width, "thirty nodes are scrolled in their own frame"


def test_it_prints(browser: Browser, document: Path, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    shown = context.new_page()
    shown.goto(document.as_uri())
    shown.pdf(path=tmp_path / "page.pdf", format="A4")
    context.close()

    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
