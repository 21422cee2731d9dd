"""The documentation site: every page is found, every example loads, every command that is shown exists."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import typer.main
import yaml

from bot.cli import app
from bot.cli.gym import gym
from bot.diagnosis.knowledge import load_knowledge
from bot.lab.cluster.commands import app as lab_app
from tests.architecture.test_docs import LINK, pages, text_of
from tests.architecture.tree import ROOT

SITE: dict[str, Any] = tomllib.loads(text_of("docs/zensical.toml"))["project"]
START = "README.md"


def named(entry: Any) -> Iterator[str]:
    """The pages of a navigation, in order."""
    if isinstance(entry, str):
        yield entry
    else:
        below = cast("list[Any]", entry if isinstance(entry, list) else list(entry.values()))
        for each in below:
            yield from named(each)


def linked(page: Path) -> set[Path]:
    """The pages to which a page leads."""
    targets = (target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target)
    return {(page.parent / target).resolve() for target in targets}


def test_each_page_is_in_the_navigation_or_a_link_away_from_it() -> None:
    shown = {ROOT / name for name in named(SITE["nav"])}
    reached = shown | {target for page in shown for target in linked(page)}
    on_site = [page for page in pages() if page.relative_to(ROOT).parts[0] in {"docs", "deploy", "playbooks"}]

    assert {str(page.relative_to(ROOT)) for page in set(on_site) - reached} == set()
    assert {page for page in shown if not page.exists()} == set()


def test_nothing_is_loaded_from_elsewhere() -> None:
    assert SITE["theme"]["font"] is False
    assert not SITE.keys() & {"extra_css", "extra_javascript"}


PLACES = {"playbook": "", "cause": "causes", "known issue": "known-issues"}
EXAMPLE = re.compile(r"(?s)<!-- loaded as: ([a-z ]+) -->\n```yaml\n(.*?)```")
EXAMPLES = [
    (page.stem, kind, text)
    for page in sorted((ROOT / "docs" / "extend").glob("*.md"))
    for kind, text in EXAMPLE.findall(page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("page", "kind", "text"), EXAMPLES, ids=[page for page, *_ in EXAMPLES])
def test_the_examples_are_loaded_beside_the_shipped_ones(tmp_path: Path, page: str, kind: str, text: str) -> None:
    place = tmp_path / PLACES[kind]
    place.mkdir(exist_ok=True)
    (place / "example.yaml").write_text(text, encoding="utf-8")
    known = load_knowledge((tmp_path,))

    loaded = {"playbook": known.playbooks, "cause": known.causes, "known issue": known.known_issues}[kind]
    fields = yaml.safe_load(text)
    assert (fields.get("id") or fields["name"]) in {one.id for one in loaded}


def test_each_kind_has_its_example() -> None:
    assert {kind for _, kind, _ in EXAMPLES} == set(PLACES)


# Commands

BLOCK = re.compile(r"(?ms)^```(\w*)\n(.*?)^```$")
TYPED = {"console", "sh", ""}
GENERATED = ("docs/reference/", "docs/causes/")


def shown_commands(text: str) -> Iterator[list[str]]:
    """The words of each call of cnibot in a page's code blocks, without comments."""
    for block in (text for kind, text in BLOCK.findall(text) if kind in TYPED):
        for line in block.replace("\\\n", " ").splitlines():
            typed = line.removeprefix("$ ").replace(".venv/bin/", "").partition(" #")[0].strip()
            words = re.split(r"\s+|(?=[;|&>)])", typed)
            if words[0] == "cnibot":
                end = next((i for i, word in enumerate(words) if word == "--" or word[:1] in ";|&>)"), len(words))
                yield words[1:end]


LAB = typer.Typer()
"""What `cnibot lab` finds behind it, put together as there."""
LAB.registered_commands = [*lab_app.registered_commands]
LAB.command("gym")(gym)


def complaint(words: list[str]) -> str:
    """What of a call does not exist; "" when all does."""
    command: Any = typer.main.get_command(app)
    options: set[str] = set()
    for word in words:
        below: dict[str, Any] = getattr(command, "commands", {})
        if word.startswith("-"):
            options.add(word.partition("=")[0])
        elif below:
            if word not in below:
                return f"no command {word}"
            command = typer.main.get_command(LAB) if word == "lab" else below[word]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    unknown = options - known - {"-h", "--help", "--version"}
    return f"no option {', '.join(sorted(unknown))} of {command.name}" if unknown else ""


COMMANDS = [
    (str(page.relative_to(ROOT)), words)
    for page in pages()
    if not str(page.relative_to(ROOT)).startswith(GENERATED)
    for words in shown_commands(page.read_text(encoding="utf-8"))
]


def test_commands_and_options_that_pages_show_exist() -> None:
    found = [f"{page}: {' '.join(words)}: {why}" for page, words in COMMANDS if (why := complaint(words))]

    assert found == []
    assert len(COMMANDS) >= 30


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("cnibot diagnose shop --acces api", "no option --acces of diagnose"),
        ("cnibot lab brake x", "no command brake"),
        ("cnibot plan propose fix --for shop | tee x", ""),
        ("cnibot lab exec node-1 -- ip --json route", ""),
    ],
)
def test_it_sees_what_does_not_exist(typed: str, why: str) -> None:
    (words,) = shown_commands(f"```console\n$ {typed}\n```\n")

    assert complaint(words) == why
