"""What can be read in both themes: contrast by WCAG 2.2, level AA."""

import re

import pytest

from tests.architecture.tree import ROOT

STYLE = (ROOT / "bot" / "lab" / "slack" / "page" / "style.css").read_text(encoding="utf-8")
READ_ON = (
    *(("text", "ground"), ("text", "sunken"), ("text", "hover"), ("muted", "ground"), ("muted", "raised")),
    *(("muted", "sunken"), ("muted", "ephemeral"), ("link", "ground"), ("link", "hover"), ("mention-text", "mention")),
    *(("me-text", "me"), ("code", "code-ground"), ("danger", "raised"), ("good", "raised"), ("accent-text", "accent")),
    *(("side-text", "side"), ("side-strong", "side-here"), ("side-text", "side-hover")),
)


BORDERS = (("line-strong", "ground"), ("line-strong", "raised"), ("line-strong", "sunken"), ("line-strong", "hover"))


def colours(selector: str) -> dict[str, str]:
    block = re.search(rf"(?ms)^{re.escape(selector)} \{{(.*?)^\}}", STYLE)
    assert block is not None
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block[1]))


def luminance(colour: str) -> float:
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    brighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("text", "ground"), READ_ON)
def test_text_stands_out_from_its_ground(theme: str, text: str, ground: str) -> None:
    known = colours(":root") | (colours("body.body--dark") if theme == "dark" else {})
    assert contrast(known[text], known[ground]) >= 4.5, f"{text} on {ground}"


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(("line", "ground"), BORDERS)
def test_the_border_of_what_is_pressed_or_typed_into_stands_out(theme: str, line: str, ground: str) -> None:
    """WCAG 2.2, 1.4.11."""
    known = colours(":root") | (colours("body.body--dark") if theme == "dark" else {})
    assert contrast(known[line], known[ground]) >= 3, f"{line} on {ground}"
