"""The list of pages in docs/decisions/README.md."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGE = "docs/decisions/README.md"
BEGIN, END = "<!-- pages -->\n", "<!-- /pages -->"


def _line(path: Path) -> str:
    title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
    return f"- [{title}]({path.name})\n"


def pages() -> dict[str, str]:
    """The index with its list renewed."""
    found = sorted(path for path in (ROOT / PAGE).parent.glob("*.md") if re.match(r"\d{4}-", path.name))
    text = (ROOT / PAGE).read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    return {PAGE: head + BEGIN + "".join(map(_line, found)) + END + tail}
