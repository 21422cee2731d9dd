"""The figure of layers in docs/architecture.md, from the contract that enforces it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/architecture.md"


def layers() -> list[str]:
    """The layers of the contract, top first; a layer in brackets is not built yet."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    (contract,) = (contract for contract in contracts if contract["id"] == "layers")
    return [_with_brackets(layer) for layer in contract["layers"]]


def _with_brackets(layer: str) -> str:
    parts = re.findall(r"\w+|[|:]", layer)
    names = [part if part in "|:" or _exists(part) else f"({part})" for part in parts]
    return " ".join(names).replace(":", ",")


def _exists(name: str) -> bool:
    return any((ROOT / "bot" / path).exists() for path in (f"{name}.py", f"{name}/__init__.py"))


def pages() -> dict[str, str]:
    """The page with its figure renewed."""
    figure = "\n   ▼\n".join(layers())
    note = "`|` keeps siblings apart; a package in brackets is not built yet."
    body = f"```\n{figure}\n```\n\n{note}\n"
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    begin, end = "<!-- layers: generated from pyproject.toml -->\n", "<!-- /layers -->"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return {PAGE: f"{head}{begin}{body}{end}{tail}"}
