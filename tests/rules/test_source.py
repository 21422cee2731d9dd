"""YAML that remembers its lines: every mistake is reported with file, line, field and the nearest right word."""

from pathlib import Path

import pytest
from pydantic import BaseModel, ConfigDict

from bot.rules.problems import RulesError
from bot.rules.source import Document, collect, data_directory, model, parse, read, unique, yaml_files


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    that: str
    says: str = ""


class Outer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    id: str
    override: bool = False
    requires: tuple[Inner, ...] = ()


def problems(text: str) -> list[str]:
    with pytest.raises(RulesError) as caught:
        model(parse(text, "rules/a.yaml"), Outer)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "id: a\nrequires:\n  - that: x\n    say: y\n",
            "rules/a.yaml:4: requires.0.say: there is no such field; did you mean says?",
        ),
        ("id: a\nrequries: []\n", "rules/a.yaml:2: requries: there is no such field; did you mean requires?"),
        ("id: a\nrequires:\n  - says: y\n", "rules/a.yaml:3: requires.0: that is missing"),
        ("override: false\n", "rules/a.yaml:1: id is missing"),
        ("id: [a]\n", "rules/a.yaml:1: id: input should be a valid string"),
        ("id: a\nid: b\n", "rules/a.yaml:2: id is given twice"),
        ("id: a\n  b: [\n", "rules/a.yaml:2: is no YAML: mapping values are not allowed in this context"),
        ("- a\n", "rules/a.yaml:1: must be a mapping of fields"),
        ("id: !!python/object/apply:os.system [x]\n", "rules/a.yaml:1: id: input should be a valid string"),
        ("id: !x y\n", "rules/a.yaml:1: id: !x is a YAML tag: quote a value that begins with !"),
        ("", "rules/a.yaml:1: must be a mapping of fields"),
    ],
)  # fmt: skip
def test_a_mistake_names_file_line_and_field(text: str, expected: str) -> None:
    assert problems(text) == [expected]


def test_an_anchor_that_refers_to_itself_does_not_run_away() -> None:
    (problem,) = problems("id: &a [*a]\n")

    assert problem.endswith("is nested too deeply (or refers to itself)")


def test_dates_and_versions_stay_the_text_that_was_written() -> None:
    assert model(parse("id: 2024-04-18\n", "a"), Outer).id == "2024-04-18"


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "big.yaml").write_text("a: " + "x" * 600_000)
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9\n")

    with pytest.raises(RulesError, match=r"big.yaml: cannot be read: it is larger than 512 KiB"):
        read(tmp_path / "big.yaml")
    with pytest.raises(RulesError, match=r"latin.yaml: cannot be read: "):
        read(tmp_path / "latin.yaml")
    with pytest.raises(RulesError, match=r"missing.yaml: cannot be read: "):
        read(tmp_path / "missing.yaml")
    with pytest.raises(RulesError, match=r"nowhere: is not a directory"):
        list(yaml_files([tmp_path / "nowhere"]))


def test_all_mistakes_of_all_files_come_together(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("idd: a\n")
    (tmp_path / "a.yaml").write_text("id: a\nx: 1\ny: 2\n")

    with pytest.raises(RulesError) as caught:
        collect(yaml_files([tmp_path]), lambda document: model(document, Outer))

    places = [(Path(one.file).name, one.line) for one in caught.value.problems]
    assert places == [("a.yaml", 2), ("a.yaml", 3), ("b.yaml", 1), ("b.yaml", 1)]


class Named:
    def __init__(self, document: Document) -> None:
        fields = model(document, Outer)
        self.id, self.override, self.file = fields.id, fields.override, document.file


def test_a_second_definition_needs_to_say_that_it_overrides(tmp_path: Path) -> None:
    own, mine = tmp_path / "own", tmp_path / "mine"
    own.mkdir()
    mine.mkdir()
    (own / "a.yaml").write_text("id: a\n")
    (mine / "a.yaml").write_text("id: a\n")
    with pytest.raises(RulesError, match=r"mine/a.yaml:1: id: a is defined in .*own/a.yaml too: choose another id"):
        unique(collect(yaml_files([own, mine]), Named))

    (mine / "a.yaml").write_text("id: a\noverride: true\n")
    (one,) = unique(collect(yaml_files([own, mine]), Named))
    assert one.file == str(mine / "a.yaml")


def test_the_rules_that_come_with_the_bot_are_found() -> None:
    assert (data_directory() / "causes").is_dir()
    assert (data_directory() / "known-issues").is_dir()
