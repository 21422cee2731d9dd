"""The words that people read are the usual ones, and each kind of phrase is written in one place."""

import re
from pathlib import Path

import pytest

from tests.architecture.strings import texts_in, texts_of
from tests.architecture.tree import ROOT, python_files, source_files

CUT_LIST = re.compile(r"and \{\} more\b|# \{\} more\b|^ more( |$)|\band more$")
"""How a list's cut is written by hand."""
LISTING = ROOT / "bot" / "domain" / "listing.py"


def cut_lists(source: str) -> list[str]:
    return [text for _, text in texts_in(source) if CUT_LIST.search(text)]


def test_lists_are_cut_in_one_place() -> None:
    files = [path for path in python_files("bot") if path != LISTING and "lab" not in path.parts]
    found = {str(path.relative_to(ROOT)): texts for path in files if (texts := cut_lists(path.read_text("utf-8")))}

    assert found == {}, "bot.domain.listing: and_more, left_out"


@pytest.mark.parametrize(
    "source", ['x = f"{a} and {n} more"', 'f(f"# {n} more: see -v")', 'said(" more")', 'x = "a and more"']
)
def test_it_sees_a_list_that_is_cut_by_hand(source: str) -> None:
    assert cut_lists(source) == [text for _, text in texts_in(source)]


FORBIDDEN = {
    r"\bmend(s|ed|ing)?\b": "fix",
    r"\basked for by\b": "requested by",
    r"\btold\b(?!-)": "reported, posted, notified",  # "told-none" is a fact's value, which rules of others may read
    r"\blook(s|ed|ing)? at nodes\b|\blooked at\b": "inspected, checked",
    r"\b(is|are|was|were|be|been) hit\b": "affected",
    r"\b(hears?|heard)\b": "gets, receives, is notified",
    r"\bstands? in\b(?! for)": "is in",
    r"\bso many\b": "how many",
    r"\bfor want of\b": "for lack of",
    r"\bcure[sd]?\b": "fix",
    r"\bcalled for\b": "needed",
    r"\bcame of\b": "the result of",
    r"\bany more\b": "no longer, now",
    r"\b(was|were) (not )?asked for\b": "requested, looked up, tried",
    r"\blooks at\b": "inspects, checks",
    r"\bspeaks? of\b": "mentions, covers",
    r"\bstands? (on|under)\b|\bas it stands\b": "is on, is under, as shown",
    r"\bto strike\b": "to break",
}
"""Words that nobody on call would use, and the usual ones."""
PAGES = ("README.md", "CHANGELOG.md", "docs", "playbooks", "deploy")
KEPT = ("docs/accuracy",)  # figures of former runs, with the sentences of their time


def unusual(text: str) -> list[str]:
    return [word for word in FORBIDDEN if re.search(word, text, re.IGNORECASE)]


def test_what_the_code_says_has_the_usual_words() -> None:
    """Everything but docstrings and comments; identifiers in it are names, no words."""
    files = [path for path in python_files("bot") if "lab" not in path.parts]
    found = {
        f"{path.relative_to(ROOT)}:{line}": words
        for path in files
        for line, text in texts_of(path)
        if " " in text and (words := unusual(text))
    }

    assert found == {}


def pages() -> list[Path]:
    """What people read beside the program: knowledge, documentation, manifests."""
    wanted = [path for path in source_files() if str(path.relative_to(ROOT)).startswith(PAGES)]
    texts = [path for path in wanted if path.suffix in {".md", ".yaml"}]
    return [path for path in texts if not str(path.relative_to(ROOT)).startswith(KEPT)]


def test_pages_and_knowledge_have_the_usual_words() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{number}": words
        for path in pages()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if (words := unusual(line))
    }

    assert found == {}


@pytest.mark.parametrize(
    "text",
    ["Mend it", "an incident is told of", "asked for by eve", "pods were hit", "not so any more", "it was asked for"],
)
def test_it_sees_an_unusual_word(text: str) -> None:
    assert unusual(text)


@pytest.mark.parametrize("text", ["cnibot hit an internal error", "node.cni_conf is told-none", "a recommended fix"])
def test_it_leaves_the_usual_ones(text: str) -> None:
    assert unusual(text) == []


def test_prose_in_the_code_has_them_too() -> None:
    """Docstrings and comments, as far as a word has no other meaning there."""
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files("bot")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if re.search(r"\bmend(s|ed|ing)?\b|\basked for by\b|\btold of\b|\bis told\b", line, re.IGNORECASE)
    ]

    assert found == []
