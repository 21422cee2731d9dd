"""Where the rules lie that come with the bot: `playbooks/` of a checkout, or inside the installed package."""

from pathlib import Path
from typing import Literal

_PACKAGE = Path(__file__).resolve().parent.parent
_INSTALLED = _PACKAGE / "_data" / "playbooks"
_CHECKOUT = _PACKAGE.parent / "playbooks"


def shipped(kind: Literal["playbooks", "causes", "known-issues"]) -> Path:
    """The directory of one kind of rules."""
    root = _INSTALLED if _INSTALLED.is_dir() else _CHECKOUT
    return root if kind == "playbooks" else root / kind
