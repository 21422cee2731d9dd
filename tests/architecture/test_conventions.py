"""House rules that no linter knows."""

import ast
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, python_files

MAY_READ_THE_ENVIRONMENT = {
    "bot/settings.py",
    "bot/agent/__main__.py",  # a program of its own, which imports nothing else of bot
}
NOT_SETTINGS = {"PATH", "TERM"}
"""Variables of the machine, read to start other programs."""


def reads_of_the_environment(source: str) -> list[int]:
    """Lines that read a variable; handing the whole environment on to a child process is none."""
    found: list[int] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Subscript(value=asked, slice=name, ctx=ast.Load()):
                way = ast.unparse(asked)
            case ast.Call(func=asked, args=[name, *_]):
                way = ast.unparse(asked)
            case _:
                continue
        is_setting = not (isinstance(name, ast.Constant) and name.value in NOT_SETTINGS)
        if is_setting and way in {"os.environ", "os.environb", "os.environ.get", "os.environb.get", "os.getenv"}:
            found.append(node.lineno)
    return found


def test_only_settings_reads_the_environment() -> None:
    """One place to look for what a variable does, and one list to document."""
    readers: dict[str, list[int]] = {}
    for path in python_files("bot"):
        if lines := reads_of_the_environment(path.read_text(encoding="utf-8")):
            readers[str(path.relative_to(ROOT))] = lines

    assert readers.keys() <= MAY_READ_THE_ENVIRONMENT, readers


def test_the_rule_sees_each_way_to_read() -> None:
    reads = ("a = os.environ['A']", "b = os.environ.get('B')", "c = os.getenv('C')")
    others = ("d = {**os.environ}", "os.environ['E'] = ''", "f = os.environ['PATH']")

    assert reads_of_the_environment("\n".join((*reads, *others))) == [1, 2, 3]


def module_docstring(path: Path) -> str | None:
    """Its first line, or None."""
    return ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_every_module_says_what_it_is_for() -> None:
    """An empty `__init__.py` has nothing to say."""
    silent = [
        str(path.relative_to(ROOT))
        for path in python_files("bot")
        if path.stat().st_size and not module_docstring(path)
    ]

    assert silent == []


def bare_groups(source: str) -> list[int]:
    """Lines that name asyncio's own task group, under whatever name the module or the class was imported."""
    tree = ast.parse(source)
    modules, found = {"asyncio", "asyncio.taskgroups", "taskgroups"}, list[int]()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                modules |= {each.asname for each in names if each.name in modules and each.asname}
            case ast.ImportFrom(module="asyncio" | "asyncio.taskgroups", names=names):
                found += [node.lineno for each in names if each.name in {"TaskGroup", "*"}]
                modules |= {each.asname or each.name for each in names if each.name == "taskgroups"}
            case _:
                pass
    attributes = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "TaskGroup")
    return [*found, *(node.lineno for node in attributes if ast.unparse(node.value) in modules)]


def test_every_task_group_lets_deadlines_fire() -> None:
    """Before Python 3.13 a group of asyncio's own can disarm the `asyncio.timeout` around it: see bot.aio.groups."""
    using = [path for path in python_files("bot") if bare_groups(path.read_text(encoding="utf-8"))]

    assert using == [ROOT / "bot/aio/groups.py"]


@pytest.mark.parametrize(
    "source",
    [
        "import asyncio\nasyncio.TaskGroup()",
        "import asyncio as aio\naio.TaskGroup()",
        "from asyncio import (\n    Event,\n    TaskGroup,\n)",
        "from asyncio import TaskGroup as Group",
        "from asyncio import *",
        "from asyncio.taskgroups import TaskGroup",
        "from asyncio import taskgroups\ntaskgroups.TaskGroup()",
        "import asyncio.taskgroups\nasyncio.taskgroups.TaskGroup()",
        "import asyncio\nclass Mine(asyncio.TaskGroup): ...",
    ],
)
def test_the_rule_sees_each_way_to_a_bare_group(source: str) -> None:
    assert bare_groups(source)
    assert not bare_groups("import asyncio\nfrom bot.aio.groups import TaskGroup\nasyncio.timeout(1)\nTaskGroup()")
