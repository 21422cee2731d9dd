"""Builds the documentation site into build/site/html; a warning is an error.

    python .ci/site.py

The pages keep their places in the tree, so a link that works in the repository works on the site, and the files that
pages lead to (manifests, schemas, pictures) are beside them. What the navigation shows is in docs/zensical.toml.
"""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SITE = ROOT / "build" / "site"
SHOWN = ("README.md", "CHANGELOG.md", "LICENSE", "docs", "deploy", "playbooks")
"""What is on the site."""
KEPT_OUT = shutil.ignore_patterns("__pycache__", "generators", "zensical.toml", "templates")
"""Programs, and the chart's templates, which are no pages."""


def stage() -> None:
    """The pages and what they lead to, laid out as in the tree, with the configuration beside them."""
    shutil.rmtree(SITE, ignore_errors=True)
    pages = SITE / "pages"
    pages.mkdir(parents=True)
    for name in SHOWN:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, pages / name, ignore=KEPT_OUT)
        else:
            shutil.copy(source, pages / name)
    shutil.copy(ROOT / "docs" / "zensical.toml", SITE)


def main() -> int:
    """The exit code of the build."""
    stage()
    return subprocess.run(["zensical", "build", "--strict"], cwd=SITE, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
