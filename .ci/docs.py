"""Writes the generated pages, or tells which of them are no longer what the code would write.

    python .ci/docs.py write
    python .ci/docs.py check

Each `docs/generators/NAME.py` has one function, `pages() -> dict[str, str]`: the path from the top of the tree, and
the text.
"""

import difflib
import runpy
import sys
from itertools import islice
from pathlib import Path
from typing import cast

ROOT = Path(__file__).resolve().parent.parent


def generated() -> dict[str, str]:
    """Every generated page, by path; a page that two generators claim is an error."""
    pages: dict[str, str] = {}
    for source in sorted((ROOT / "docs" / "generators").glob("[a-z]*.py")):
        made = cast("dict[str, str]", runpy.run_path(str(source))["pages"]())
        twice = pages.keys() & made.keys()
        if twice:
            message = f"{source.name} writes a page that another generator writes: {', '.join(sorted(twice))}"
            raise SystemExit(message)
        pages |= made
    return pages


def stale(path: str, text: str) -> list[str]:
    """The first lines of the difference between what is there and what should be; empty when current."""
    target = ROOT / path
    there = target.read_text(encoding="utf-8") if target.exists() else ""
    lines = difflib.unified_diff(there.splitlines(), text.splitlines(), path, f"{path} (generated)", lineterm="", n=0)
    return list(islice(lines, 12))


def main(arguments: list[str]) -> int:
    """Exit code 1 when a page is stale, else 0."""
    if arguments not in (["write"], ["check"]):
        print(__doc__)
        return 2
    pages = generated()
    outdated = {path: lines for path, text in pages.items() if (lines := stale(path, text))}
    for path, lines in outdated.items():
        if arguments == ["write"]:
            (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / path).write_text(pages[path], encoding="utf-8")
            print(f"wrote {path}")
        else:
            print("\n".join(lines))
    if outdated and arguments == ["check"]:
        print("to write them again: make docs")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
