"""The list of fonts, made ahead: on a slow machine the first picture would spend its time on looking for them.

`python -m bot.render.pictures fonts` makes it (set-up and the image's build do). A child that draws gets a copy in a
directory where it may write, as matplotlib ignores one where it may not.
"""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path

LISTS = "fontlist-*.json"


def prepared() -> Path:
    """Where the list is that was made ahead, if it was."""
    return Path(sys.prefix, "share", "cnibot", "fonts")


def provide(cache: Path) -> None:
    """Put the list into this directory, unless it has one or none was made. Errors: `OSError`."""
    lists = sorted(prepared().glob(LISTS))
    if lists and not any(cache.glob(LISTS)):
        cache.mkdir(parents=True, exist_ok=True)
        for each in lists:
            shutil.copy(each, cache)


def prepare() -> None:
    """Make the list: importing matplotlib's does."""
    prepared().mkdir(parents=True, exist_ok=True)
    os.environ["MPLCONFIGDIR"] = str(prepared())
    import_module("matplotlib.font_manager")
