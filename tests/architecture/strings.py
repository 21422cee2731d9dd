"""The text in the code as the architecture tests read it: what it prints, without its docstrings and comments."""

import ast
from collections.abc import Iterator
from pathlib import Path


def _docstrings(tree: ast.AST) -> set[int]:
    """Strings that stand as statements: of modules, classes, functions, and under the names that they explain."""
    return {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _template(node: ast.JoinedStr) -> str:
    """An f-string with "{}" for what is filled in."""
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)


def texts_in(source: str) -> Iterator[tuple[int, str]]:
    """(line, text) of each string literal, f-strings as one text."""
    tree = ast.parse(source)
    passed = _docstrings(tree)
    for node in ast.walk(tree):
        if id(node) in passed:
            continue
        if isinstance(node, ast.JoinedStr):
            passed |= {id(part) for part in node.values}
            yield node.lineno, _template(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def texts_of(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each string literal of a module."""
    return texts_in(path.read_text(encoding="utf-8"))
