"""YAML documents that remember their lines, and the directories they come from."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast, get_args

import yaml
from pydantic import BaseModel, ValidationError

from bot.domain.foreign import read_text
from bot.rules.problems import Problem, RulesError, did_you_mean

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # a PyYAML built without libyaml
    from yaml import SafeLoader as _Loader

Where = tuple[str | int, ...]
"""A field's place: ("requires", 0, "that")."""
ModelT = TypeVar("ModelT", bound=BaseModel)
T = TypeVar("T")
NamedT = TypeVar("NamedT", bound="Named")

_PACKAGE = Path(__file__).resolve().parent.parent
_MAX_BYTES = 512 * 1024
_MAX_DEPTH = 30
_MAX_NODES = 50_000
_MAX_UNCOUNTED = 10_000
"""So many characters cannot be nested deeply enough to do harm."""


@dataclass(slots=True)
class Document:
    """One YAML file: plain data, and the line of each field."""

    file: str
    data: Any
    lines: dict[Where, int] = field(default_factory=dict[Where, int])

    def line(self, where: Where) -> int:
        """The line of a field, or of the nearest enclosing one that exists."""
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def problem(self, where: Where, sentence: str) -> Problem:
        """A problem at a field."""
        return Problem(self.file, self.line(where), ".".join(str(part) for part in where), sentence)


def data_directory() -> Path:
    """Where the rules lie that come with the bot: `playbooks/` of a checkout, or inside the installed package.

    It holds playbooks itself, causes in `causes/` and known issues in `known-issues/`.
    """
    installed = _PACKAGE / "_data" / "playbooks"
    return installed if installed.is_dir() else _PACKAGE.parent / "playbooks"


def yaml_files(directories: Iterable[Path]) -> Iterator[Path]:
    """The `*.yaml` files in each directory (not below it), directories in the given order, files by name.

    Raises RulesError for what is no directory.
    """
    for directory in directories:
        if not directory.is_dir():
            raise RulesError([Problem(str(directory), 0, "", "is not a directory")])
        yield from sorted(path for path in directory.glob("*.yaml") if path.is_file())


def read(path: Path) -> Document:
    """The document in a file.

    Raises RulesError when it cannot be read or is no YAML mapping.
    """
    name = str(path)
    try:
        text = read_text(path, _MAX_BYTES)
    except OSError as error:
        raise RulesError([Problem(name, 0, "", f"cannot be read: {error.strerror or error}")]) from error
    except UnicodeDecodeError as error:
        raise RulesError([Problem(name, 0, "", f"cannot be read: {error}")]) from error
    return parse(text, name)


def parse(text: str, name: str) -> Document:
    """The document in a text; RulesError as in `read`."""
    try:
        if len(text) > _MAX_UNCOUNTED:
            _check_depth(text, name)
        root: Any = yaml.compose(text, Loader=_Loader)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise RulesError([Problem(name, line, "", f"is no YAML: {error.problem}")]) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise RulesError([Problem(name, 0, "", f"is no YAML: {error}")]) from error
    if not isinstance(root, yaml.MappingNode):
        raise RulesError([Problem(name, 1, "", "must be a mapping of fields")])
    document = Document(name, None)
    document.data = _build(root, (), document)
    return document


def _check_depth(text: str, name: str) -> None:
    """The composer in C calls itself for each level: enough of them end the process."""
    depth = 0
    events: Any = yaml.parse(text, Loader=_Loader)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    for event in cast("Iterable[Any]", events):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > _MAX_DEPTH:
            raise RulesError([Problem(name, event.start_mark.line + 1, "", "is nested too deeply")])


def _build(node: Any, where: Where, document: Document) -> Any:
    document.lines[where] = node.start_mark.line + 1
    if len(where) > _MAX_DEPTH:
        raise RulesError([document.problem(where, "is nested too deeply (or refers to itself)")])
    if len(document.lines) > _MAX_NODES:  # aliases of aliases: a small file that means millions of values
        raise RulesError([document.problem(where, f"is one of more than {_MAX_NODES} values")])
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, where, document)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*where, index), document) for index, item in enumerate(node.value)]
    return _scalar(node, where, document)


def _mapping(node: yaml.MappingNode, where: Where, document: Document) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        key = str(key_node.value)
        if key in data:
            place = Problem(
                document.file, key_node.start_mark.line + 1, ".".join(map(str, where)), f"{key} is given twice"
            )
            raise RulesError([place])
        data[key] = _build(value_node, (*where, key), document)
        document.lines[*where, key] = key_node.start_mark.line + 1
    return data


def _text(node: yaml.ScalarNode) -> str:
    return str(node.value)


_CONSTRUCTOR = yaml.constructor.SafeConstructor()
_SCALARS: Mapping[str, Callable[[yaml.ScalarNode], Any]] = {
    "tag:yaml.org,2002:str": _text,
    "tag:yaml.org,2002:int": _CONSTRUCTOR.construct_yaml_int,
    "tag:yaml.org,2002:float": _CONSTRUCTOR.construct_yaml_float,
    "tag:yaml.org,2002:bool": _CONSTRUCTOR.construct_yaml_bool,
    "tag:yaml.org,2002:null": _CONSTRUCTOR.construct_yaml_null,
    # A date in prose stays the text that was written.
    "tag:yaml.org,2002:timestamp": _text,
}


def _scalar(node: yaml.ScalarNode, where: Where, document: Document) -> Any:
    construct = _SCALARS.get(node.tag)
    if construct is None:
        raise RulesError([document.problem(where, f"{node.tag} is a YAML tag: quote a value that begins with !")])
    return construct(node)


def model(document: Document, schema: type[ModelT]) -> ModelT:
    """The document as a value of `schema`.

    Raises RulesError with file, line and field of each mistake, and the nearest field for a misspelt one.
    """
    try:
        return schema.model_validate(document.data)
    except ValidationError as error:
        raise RulesError(_schema_problems(document, schema, error)) from error


def _schema_problems(document: Document, schema: type[BaseModel], error: ValidationError) -> Iterator[Problem]:
    items = error.errors(include_url=False)
    for item in items:
        where: Where = item["loc"]
        if item["type"] == "too_short" and any(
            len(o["loc"]) > len(where) and o["loc"][: len(where)] == where for o in items
        ):
            continue  # a sequence counts as empty when one of its items is wrong, which is reported by itself
        if item["type"] == "extra_forbidden":
            known = _fields_at(schema, where[:-1])
            yield document.problem(where, f"there is no such field{did_you_mean(str(where[-1]), known)}")
        elif item["type"] == "missing":
            yield document.problem(where[:-1], f"{where[-1]} is missing")
        else:
            message = item["msg"].removeprefix("Value error, ")
            given = item["input"]
            hint = did_you_mean(given, _expected(item)) if isinstance(given, str) else ""
            yield document.problem(where, f"{message[:1].lower()}{message[1:]}{hint}")


def _expected(item: Any) -> list[str]:
    """The words of a Literal or an enum, out of pydantic's context."""
    expected = str(item.get("ctx", {}).get("expected", ""))
    return [word.strip("' ") for word in expected.replace(" or ", ",").split(",") if word.strip("' ")]


def _fields_at(schema: type[BaseModel], where: Where) -> list[str]:
    """The field names that are allowed at a place, following nested models."""
    models: list[type[BaseModel]] = [schema]
    for part in where:
        if isinstance(part, int):
            continue
        models = [
            inner for one in models if part in one.model_fields for inner in _inner(one.model_fields[part].annotation)
        ]
    return [info.alias or name for one in models for name, info in one.model_fields.items()]


def _inner(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _inner(argument)


def collect(paths: Iterable[Path], build: Callable[[Document], T]) -> list[T]:
    """What `build` makes of each file; the problems of all files together in one RulesError."""
    built: list[T] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            built.append(build(read(path)))
        except RulesError as error:
            problems.extend(error.problems)
    if problems:
        raise RulesError(problems)
    return built


class Named(Protocol):
    """What has an id and may replace an earlier one of the same id."""

    @property
    def id(self) -> str:
        """Its name among its kind."""
        ...

    @property
    def override(self) -> bool:
        """Whether it may replace an earlier one."""
        ...

    @property
    def file(self) -> str:
        """Where it was read."""
        ...


def unique(items: Iterable[NamedT]) -> tuple[NamedT, ...]:
    """The items by id; a later one replaces an earlier one only when it says `override: true`.

    Raises RulesError for an id that is given twice without it.
    """
    found: dict[str, NamedT] = {}
    problems: list[Problem] = []
    for item in items:
        earlier = found.get(item.id)
        if earlier is not None and not item.override:
            sentence = f"{item.id} is defined in {earlier.file} too: choose another id, or say override: true"
            problems.append(Problem(item.file, 1, "id", sentence))
        found[item.id] = item
    if problems:
        raise RulesError(problems)
    return tuple(found[name] for name in sorted(found))
