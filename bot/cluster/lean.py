"""Importing parts of the Kubernetes client without the rest.

`import kubernetes.aio.client` first runs `kubernetes/__init__.py`, which loads the synchronous client with requests,
urllib3 and oauthlib, and every part of the asynchronous one: 0.6 s of CPU where what we use takes 0.4 s (of which
aiohttp 0.23 s, pydantic 0.1 s; measured on a slow machine with Python 3.11).
"""

import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.machinery import PathFinder
from importlib.util import module_from_spec

_PACKAGES = ("kubernetes", "kubernetes.aio")


@contextmanager
def without_package_code() -> Generator[None, None, None]:
    """Within, submodules of `kubernetes.aio` load without the code of the packages above them.

    Afterwards nothing remains of it: whoever imports `kubernetes` then gets all of it, with the parts that are loaded.
    """
    hollow: list[str] = []
    path: list[str] | None = None
    for name in _PACKAGES:
        if name in sys.modules:
            break
        spec = PathFinder.find_spec(name, path)
        if spec is None or spec.submodule_search_locations is None:
            break  # not installed as we know it: the import itself will tell
        path = list(spec.submodule_search_locations)
        sys.modules[name] = module_from_spec(spec)
        hollow.append(name)
    try:
        yield
    finally:
        for name in hollow:
            del sys.modules[name]
