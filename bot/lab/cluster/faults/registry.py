"""What a fault is, and which there are."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal

import bot.lab.cluster.faults as package
from bot.lab.cluster.faults.injection import Injection
from bot.lab.cluster.names import CNIS, Cni, Json
from bot.lab.errors import LabUsageError

Scope = Literal["pod", "node", "cluster"]
CALICO: Final[tuple[Cni, ...]] = ("calico-vxlan",)
FLANNEL: Final[tuple[Cni, ...]] = ("flannel-vxlan",)
CILIUM: Final[tuple[Cni, ...]] = ("cilium-tunnel",)
ROUTED: Final[tuple[Cni, ...]] = ("calico-vxlan", "cilium-tunnel")
"""CNIs that route every pod by its own /32."""
ANY: Final[tuple[Cni, ...]] = CNIS


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A way to break a lab.

    ``letter`` is the class in the fault taxonomy, ``cause`` the cause id that names it ("" for a decoy, which only
    looks guilty), ``also`` are causes that say the same state in other words.
    """

    id: str
    letter: str
    title: str
    cnis: tuple[Cni, ...]
    scope: Scope
    cause: str
    also: tuple[str, ...]
    inject: Callable[[Injection], Awaitable[None]]

    def as_json(self) -> Json:
        """For the control socket and the command line."""
        return {
            "id": self.id,
            "letter": self.letter,
            "title": self.title,
            "cnis": list(self.cnis),
            "scope": self.scope,
            "cause": self.cause,
            "also": list(self.also),
        }


_found: dict[str, Fault] = {}


def _title(inject: Callable[..., object]) -> str:
    return (inject.__doc__ or "").partition("\n")[0].rstrip(".")


def fault(
    id: str,  # noqa: A002 - the word everybody uses
    letter: str,
    *,
    scope: Scope,
    cnis: tuple[Cni, ...] = ANY,
    cause: str | None = None,
    also: tuple[str, ...] = (),
) -> Callable[[Callable[[Injection], Awaitable[None]]], Callable[[Injection], Awaitable[None]]]:
    """Register the function that injects a fault; its docstring is the title. ``cause`` defaults to its id."""

    def register(inject: Callable[[Injection], Awaitable[None]]) -> Callable[[Injection], Awaitable[None]]:
        if id in _found:
            raise ValueError(f"two faults are called {id}")
        _found[id] = Fault(
            id=id,
            letter=letter,
            title=_title(inject),
            cnis=cnis,
            scope=scope,
            cause=id if cause is None else cause,
            also=also,
            inject=inject,
        )
        return inject

    return register


@cache
def all_faults() -> Mapping[str, Fault]:
    """Every fault by id, sorted."""
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"{package.__name__}.{module.name}")
    return dict(sorted(_found.items()))


def find(name: str, cni: str) -> Fault:
    """Raises LabUsageError for a fault that is unknown, or impossible with this CNI."""
    found = all_faults().get(name)
    if found is None:
        raise LabUsageError(f"there is no fault {name!r}; cnibot lab faults lists them")
    if cni not in found.cnis:
        raise LabUsageError(f"the fault {name} needs {' or '.join(found.cnis)}, this lab runs {cni}")
    return found
