"""What an image is, and which there are. Every module of this package with ``IMAGES`` adds to the registry."""

from __future__ import annotations

import importlib
import pkgutil
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import bot.lab.cluster.images as package

SHELL: Final = ("sh", "cat", "ls", "echo", "env", "head", "grep", "sleep", "sed", "id", "hostname", "true", "false")
"""What a Debian-slim image has; note that `ip` is not among it."""
TOOLS: Final = (*SHELL, "ip", "ss", "nft", "iptables", "iptables-save", "sysctl", "bridge", "ping", "bash", "tc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """What a container's function gets: command line and environment. Its stdout is the container's log."""

    argv: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image, found by its repository name whatever the tag.

    ``main`` runs when the container starts; None from it means exit code 0. ``programs`` are host programs that exist
    in the image, ``scripts`` are shell scripts. A manifest's ``command`` runs the program it names when the image has
    it, else it is taken as ``main`` with other words.
    """

    name: str
    main: Callable[[Container], int | None]
    programs: tuple[str, ...] = ()
    scripts: Mapping[str, str] = field(default_factory=dict[str, str])
    has_entrypoint: bool = True
    """As `ENTRYPOINT` of a Dockerfile; without one a manifest's arguments are the command."""
    entrypoints: tuple[str, ...] = ()
    """Commands that mean ``main`` though no such file exists here."""

    @property
    def directory(self) -> str:
        """The name as one directory."""
        return self.name.replace("/", "_").replace(":", "_")

    def links(self) -> Iterable[tuple[str, str]]:
        """Program names with the places of the host's own copies; those that the host lacks are left out."""
        for name in self.programs:
            path = shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin")
            if path is not None:
                yield name, path

    def runs_itself(self, argv: Sequence[str], *, args_only: bool) -> bool:
        """Does this command line mean the image's own function?

        ``args_only``: the manifest gives arguments but no command, so an entry point, if there is one, takes them.
        """
        if not argv or (args_only and self.has_entrypoint):
            return True
        name = Path(argv[0]).name
        return name in self.entrypoints or (name not in self.programs and name not in self.scripts)


@cache
def all_images() -> tuple[Image, ...]:
    """Every image, by module name."""
    found: list[Image] = []
    for module in pkgutil.iter_modules(package.__path__):
        found.extend(getattr(importlib.import_module(f"{package.__name__}.{module.name}"), "IMAGES", ()))
    return tuple(found)


@cache
def _by_name() -> Mapping[str, Image]:
    return {image.name: image for image in all_images()}


def repository(reference: str) -> str:
    """The image's name as we key it: no digest, no tag, no ``docker.io/`` or ``library/``.

    A name without a registry keeps its tag when we know it with the tag (``cnibot:lab``).
    """
    name = reference.partition("@")[0]
    for prefix in ("docker.io/", "library/"):
        name = name.removeprefix(prefix)
    if name in _by_name():
        return name
    head, slash, last = name.rpartition("/")
    return head + slash + last.partition(":")[0]


def find_image(reference: str) -> Image:
    """Raises KeyError when no registry here has it."""
    return _by_name()[repository(reference)]
