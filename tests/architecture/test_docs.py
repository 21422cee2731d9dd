"""The documentation is complete: what exists is described, and what is described exists."""

import re
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, source_files

GLOSSARY = "docs/glossary.md"
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def text_of(name: str) -> str:
    """A page."""
    return (ROOT / name).read_text(encoding="utf-8")


def words() -> list[str]:
    """The words that the glossary explains."""
    return re.findall(r"\*\*([\w -]+)\*\*", text_of(GLOSSARY))


def in_use() -> str:
    """Code, playbooks and the other pages in one string, identifiers opened up ("node_report" reads "node report")."""
    texts = [
        path.read_text(encoding="utf-8")
        for path in source_files()
        if path.suffix in {".py", ".yaml", ".md"}
        and path.relative_to(ROOT).parts[0] in {"bot", "playbooks", "docs", "README.md"}
        and str(path.relative_to(ROOT)) != GLOSSARY
    ]
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", "\n".join(texts))
    return re.sub(r"\s+", " ", spaced).lower()


def test_each_word_of_the_glossary_is_in_use() -> None:
    text = in_use()

    assert len(words()) >= 30
    assert [word for word in words() if word.lower() not in text] == []


def test_each_package_is_described() -> None:
    page = text_of("docs/architecture.md")
    found = {path.name for path in (ROOT / "bot").iterdir() if (path / "__init__.py").exists()}
    found |= {path.stem for path in (ROOT / "bot").glob("*.py") if not path.stem.startswith("__")}

    assert {name for name in found if f"**`bot.{name}`**" not in page} == set()


def pages() -> list[Path]:
    """The pages people read."""
    return [path for path in source_files() if path.suffix == ".md"]


@pytest.mark.parametrize("page", pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]

    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_decisions_follow_the_template() -> None:
    template = re.findall(r"(?m)^## .*$", text_of("docs/decisions/template.md"))
    decisions = sorted((ROOT / "docs" / "decisions").glob("[0-9]*.md"))
    numbers = [path.name[:4] for path in decisions]

    assert len(numbers) == len(set(numbers)), "two pages with one number"
    for path in decisions:
        text = path.read_text(encoding="utf-8")
        assert text.startswith(f"# {path.name[:4]}. "), path.name
        assert re.findall(r"(?m)^## .*$", text) == template, path.name
