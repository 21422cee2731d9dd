"""Bad days of the API server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from bot.lab.cluster.apiserver.http.fault_injection import ApiFault, Kind
from tests.chaos.faults.fault import Fault, Inject, switched
from tests.chaos.system import System

Matches = Callable[[str, str], bool]


def _every(method: str, path: str) -> bool:
    return True


def _lists(method: str, path: str) -> bool:
    return method == "GET" and "limit=" in path


def _pages(method: str, path: str) -> bool:
    return "continue=" in path


def _watches(method: str, path: str) -> bool:
    return "watch=" in path


def _new_pods(method: str, path: str) -> bool:
    return method == "POST" and "/pods" in path and "/exec" not in path


def _deletions(method: str, path: str) -> bool:
    return method == "DELETE"


def _trouble(
    kind: Kind, matches: Matches = _every, *, share: float = 1.0, page_size: int = 0, delay_s: float = 0.0
) -> Inject:
    """This kind of answer to a share of the requests that match."""

    def on(system: System, chance: Random) -> None:
        def meets(method: str, path: str) -> bool:
            is_met = matches(method, path) and chance.random() < share
            system.cluster.troubled += is_met
            return is_met

        system.cluster.page_size = page_size or system.cluster.page_size
        system.cluster.api_faults.add(ApiFault(kind=kind, matches=meets, delay_s=delay_s))

    return switched(on, lambda system: system.cluster.heal())


_fault = partial(Fault, family="cluster", met=lambda system: system.cluster.troubled)

FAULTS = (
    _fault(name="a black hole", inject=_trouble("hang")),
    _fault(name="every request is answered 500", inject=_trouble("internal-error")),
    _fault(name="every second request is answered 500", inject=_trouble("internal-error", share=0.5)),
    _fault(name="every request is answered 401", inject=_trouble("unauthorized")),
    _fault(name="every request is answered 403", inject=_trouble("forbidden")),
    _fault(name="pods may not be made", inject=_trouble("forbidden", _new_pods)),
    _fault(name="pods cannot be deleted", inject=_trouble("internal-error", _deletions)),
    _fault(name="every second request is answered 429", inject=_trouble("too-many-requests", share=0.5)),
    _fault(name="410 between two pages", inject=_trouble("expired", _pages, share=0.3, page_size=2)),
    _fault(name="410 instead of a watch", inject=_trouble("expired", _watches)),
    _fault(name="lists take 3 s", inject=_trouble("slow", _lists, delay_s=3.0)),
    _fault(name="every third body breaks off", inject=_trouble("cut", share=0.3)),
    _fault(name="every third connection breaks", inject=_trouble("drop", share=0.3)),
)
