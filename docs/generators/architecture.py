"""The figure of layers in docs/architecture.md, from the contract that enforces it."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/architecture.md"


def layers() -> list[str]:
    """The layers of the contract, top first."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = pyproject["tool"]["importlinter"]["contracts"]
    (contract,) = (contract for contract in contracts if contract["id"] == "layers")
    return [" ".join(re.findall(r"\w+|[|:]", layer)).replace(":", "and") for layer in contract["layers"]]


def pages() -> dict[str, str]:
    """The page with its figure renewed."""
    figure = "\n".join(layers())
    note = "Each line imports from those below it, never the other way; `|` keeps siblings apart, too."
    body = f"```\n{figure}\n```\n\n{note}\n"
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    begin, end = "<!-- layers: generated from pyproject.toml -->\n", "<!-- /layers -->"
    head, _, rest = text.partition(begin)
    _, _, tail = rest.partition(end)
    return {PAGE: f"{head}{begin}{body}{end}{tail}"}
