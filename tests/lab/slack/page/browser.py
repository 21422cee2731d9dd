"""A real, headless Chromium for tests; where there is none they are skipped, but never in CI."""

import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

expect.set_options(timeout=20_000)  # a busy machine proves nothing


@contextmanager
def chromium() -> Generator[Browser]:
    """Debian's chromium, driven by Playwright."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None and os.environ.get("CNIBOT_CI"):
        pytest.fail("CI must have a chromium: .ci/setup browser")
    if path is None:
        pytest.skip("no chromium here (sudo apt-get install chromium)")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*sandbox, "--disable-dev-shm-usage"])
        try:
            yield browser
        finally:
            browser.close()
