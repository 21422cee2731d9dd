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


def named_in_the_glossary() -> set[str]:
    """What stands in backticks there: paths below `bot/`, types, and words of the command line."""
    return set(re.findall(r"`([^`]+)`", text_of(GLOSSARY).partition("\n## ")[2]))


def test_each_path_and_type_of_the_glossary_exists() -> None:
    named = named_in_the_glossary()
    paths = {name for name in named if name.endswith(("/", ".py")) and name != "deploy/"}
    alone = {name for name in paths if name in {"facts.py", "observe.py", "findings.py"}}  # of each probe's folder
    types = {name for name in named if name[:1].isupper()}
    code = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "bot").rglob("*.py"))

    assert {name for name in paths - alone if not (ROOT / "bot" / name).exists()} == set()
    assert {name for name in alone if not list((ROOT / "bot" / "probes").glob(f"*/{name}"))} == set()
    assert {name for name in types if not re.search(rf"(?m)^(class {name}\b|{name} = )", code)} == set()
    assert len(paths) >= 40 <= len(paths | types)


def test_each_package_has_its_word() -> None:
    """Each folder and module at the top of `bot/` is in the glossary."""
    named = named_in_the_glossary()
    rooms = {f"{path.name}/" for path in (ROOT / "bot").iterdir() if (path / "__init__.py").exists()}
    rooms |= {path.name for path in (ROOT / "bot").glob("*.py") if path.name != "__init__.py"}

    assert {room for room in rooms if not any(name.startswith(room) for name in named)} == set()


def test_what_the_architecture_names_exists() -> None:
    """Modules and packages in backticks, files with their path."""
    page = text_of("docs/architecture.md").partition("## What the names do not say")[2]
    names = {name for name in re.findall(r"`([a-z_./]+)`", page) if name not in SPOKEN}
    files = {str(path.relative_to(ROOT)) for path in source_files()}
    known = {part for name in files for part in Path(name).with_suffix("").parts} | files
    known |= {str(path.parent.relative_to(ROOT)) for path in source_files()}

    assert {name for name in names if not {name.strip("/"), name.rpartition(".")[2]} & known} == set()


SPOKEN = {"pages"}
"""Functions."""


@pytest.mark.parametrize(
    ("what", "place", "says"),
    [
        ("the sentence about 169.254.1.1", "bot/probes/pod_arp_table/findings.py", "Gateway {gateway} answered"),
        ("the decision that a cause is confirmed", "bot/causes/judging.py", "Confidence.CONFIRMED if"),
        ("the retry after a 429: how long to wait", "bot/slack/outbox/backoff.py", "return failure.retry_after_s"),
        ("the retry after a 429: the post is kept", "bot/slack/outbox/posting.py", "context.queue.keep("),
        ("the script that runs in a pod", "bot/cluster/access/exec_script.py", "_COMMANDS"),
        ("the option Not it, in a verdict's overflow menu", "bot/slack/views/verdicts.py", "blocks.overflow(ids.MORE"),
    ],
)
def test_what_a_newcomer_looks_for_is_where_the_tree_says(what: str, place: str, says: str) -> None:
    assert says in text_of(place), what


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
