"""The contracts on imports hold, and each of them bites when it is broken."""

import ast
import graphlib
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import grimp
import pytest

from tests.architecture.tree import ROOT, copied, python_files

LINT = (str(Path(sys.executable).parent / "lint-imports"), "--no-cache")

LAYERS = "Layers: each package imports only downward"
BREAKS = (
    # where, what it imports there, the contract that must break
    ("domain", "bot.cluster", LAYERS),
    ("probes", "bot.playbooks", LAYERS),
    ("causes", "bot.known_issues", LAYERS),
    ("agent", "bot.cluster", LAYERS),
    ("cluster", "bot.agent.secret", "The node agent is run, never called: others import its report alone"),
    ("agent", "bot.aio", "The node agent is its own program: it imports nothing else of bot"),
    ("lab", "bot.domain", "The lab knows nothing of bot but its asyncio helpers"),
    ("incidents", "bot.lab", "Only the command line and the gym import the lab"),
    ("probes", "kubernetes", "Only bot.cluster imports the Kubernetes client"),
    ("incidents", "slack_sdk", "Only bot.slack imports Bolt and the Slack SDK"),
    ("lab", "slack_bolt", "Only bot.slack imports Bolt and the Slack SDK"),
    ("incidents", "redis", "Only bot.store imports the Redis client"),
    ("diagnosis", "bot.store", "A diagnosis is made without the store"),
    ("incidents", "apscheduler", "Only bot.schedule imports APScheduler"),
)


def lint_imports(tree: Path) -> str:
    """What lint-imports prints for a copy; empty when every contract is kept."""
    done = subprocess.run(LINT, cwd=tree, capture_output=True, text=True, check=False, timeout=120)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What each broken contract says about a copy in which all of them are broken.

    Each import hides in a function: a late import is an import.
    """
    tree = copied(tmp_path_factory.mktemp("tree"), "pyproject.toml", "bot")
    (tree / "bot" / "agent" / "secret.py").write_text("")
    for number, (package, imported, _) in enumerate(BREAKS):
        smuggled = tree / "bot" / package / f"smuggled_{number}.py"
        smuggled.write_text(f"def late() -> object:\n    import {imported}\n    return {imported}\n")
    parts = re.split(r"(?m)^(.+)\n-{10,}\n", lint_imports(tree))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize("number", range(len(BREAKS)), ids=[f"{package}->{name}" for package, name, _ in BREAKS])
def test_contract_breaks(complaints: dict[str, str], number: int) -> None:
    package, imported, contract = BREAKS[number]

    assert f"bot.{package}.smuggled_{number} -> {imported} (l.2)" in complaints[contract]


def test_new_package_must_find_its_layer(tmp_path: Path) -> None:
    tree = copied(tmp_path, "pyproject.toml", "bot")
    (tree / "bot" / "helpers.py").write_text("")

    assert "helpers" in lint_imports(tree)


def test_contracts_let_their_own_package_through(tmp_path: Path) -> None:
    """A contract that nobody can keep would soon be ignored."""
    tree = copied(tmp_path, "pyproject.toml", "bot")
    (tree / "bot" / "cluster" / "smuggled.py").write_text("import kubernetes\nimport bot.agent.report\n")
    (tree / "bot" / "lab" / "smuggled.py").write_text("import bot.aio\n")

    assert lint_imports(tree) == ""


def imported_roots(source: Path) -> set[str]:
    """Top-level names that a module imports, two levels of `bot` kept, wherever in the module."""
    roots: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                found = [name.name for name in names]
            case ast.ImportFrom(module=str(module), level=0):
                found = [module]
            case _:
                continue
        roots |= {".".join(name.split(".")[:2]) if name.startswith("bot") else name.split(".")[0] for name in found}
    return roots


def test_node_agent_needs_only_the_standard_library() -> None:
    allowed = sys.stdlib_module_names | {"bot.agent", "bot.aio"}
    strangers = {
        str(source.relative_to(ROOT)): odd
        for source in python_files("bot/agent")
        if (odd := imported_roots(source) - allowed)
    }

    assert strangers == {}


def test_command_line_starts_without_the_lab() -> None:
    """The lab's libraries are an extra: a production install has none of them."""
    code = "import sys, bot.cli; print([name for name in sys.modules if name.startswith(('bot.lab', 'dnslib'))])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout.strip() == "[]"


def test_no_import_circle() -> None:
    """Nor one through a late import or one for types only: two files that need each other are one subject."""
    graph = grimp.build_graph("bot", cache_dir=None)
    order = graphlib.TopologicalSorter({name: graph.find_modules_directly_imported_by(name) for name in graph.modules})

    order.prepare()  # raises CycleError, which names the files


def imports_between(files: Mapping[str, Path]) -> dict[str, set[str]]:
    """By module, which of these modules it imports, wherever in the file."""
    return {
        name: {
            found
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for found in imported_modules(node)
            if found in files and found != name
        }
        for name, path in files.items()
    }


def imported_modules(node: ast.AST) -> list[str]:
    """What a statement may import: `from a import b` the module `a`, and `a.b` where that is one."""
    match node:
        case ast.Import(names=names):
            return [each.name for each in names]
        case ast.ImportFrom(module=str(module), names=names, level=0):
            return [module, *(f"{module}.{each.name}" for each in names)]
        case _:
            return []


@pytest.mark.parametrize(("place", "is_package"), [("tests", True), (".ci", False), ("docs/generators", False)])
def test_no_import_circle_beside_bot(place: str, is_package: bool) -> None:  # noqa: FBT001
    """Tests import each other by their paths from the root, programs those beside them by their names."""
    base = ROOT if is_package else ROOT / place
    files = {".".join(path.relative_to(base).with_suffix("").parts): path for path in python_files(place)}
    assert files

    graphlib.TopologicalSorter(imports_between(files)).prepare()  # raises CycleError, which names the files


def test_it_sees_a_circle_through_a_late_import(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("import b\n")
    (tmp_path / "b.py").write_text("def late() -> object:\n    from a import x\n    return x\n")
    files = {name: tmp_path / f"{name}.py" for name in ("a", "b")}

    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports_between(files)).prepare()
