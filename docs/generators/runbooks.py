"""The list of pages in docs/runbooks/README.md."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/runbooks/README.md"
HEAD = """# Runbooks

One page for each alert of `deploy/monitoring`; the alert links to it.

| alert | says |
| --- | --- |
"""


def row(path: Path) -> str:
    """An alert, with the first paragraph of its page."""
    paragraph = path.read_text(encoding="utf-8").split("\n\n")[1]
    return f"| [{path.stem}]({path.name}) | {' '.join(paragraph.split())} |\n"


def pages() -> dict[str, str]:
    """The page."""
    return {PAGE: HEAD + "".join(map(row, sorted((ROOT / PAGE).parent.glob("Cnibot*.md"))))}
