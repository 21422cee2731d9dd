"""Bad days of the API server."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from bot.lab.cluster.apiserver.http.fault_injection import ApiFault, Kind
from tests.chaos.faults.fault import Fault, Strike, switched
from tests.chaos.stage import Stage

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
) -> Strike:
    """This kind of answer to a share of the requests that match."""

    def on(stage: Stage, chance: Random) -> None:
        def meets(method: str, path: str) -> bool:
            is_met = matches(method, path) and chance.random() < share
            stage.cluster.troubled += is_met
            return is_met

        stage.cluster.page_size = page_size or stage.cluster.page_size
        stage.cluster.api_faults.add(ApiFault(kind=kind, matches=meets, delay_s=delay_s))

    return switched(on, lambda stage: stage.cluster.heal())


_fault = partial(Fault, family="cluster", met=lambda stage: stage.cluster.troubled)

FAULTS = (
    _fault(name="a black hole", strike=_trouble("hang")),
    _fault(name="every request is answered 500", strike=_trouble("internal-error")),
    _fault(name="every second request is answered 500", strike=_trouble("internal-error", share=0.5)),
    _fault(name="every request is answered 401", strike=_trouble("unauthorized")),
    _fault(name="every request is answered 403", strike=_trouble("forbidden")),
    _fault(name="pods may not be made", strike=_trouble("forbidden", _new_pods)),
    _fault(name="pods cannot be deleted", strike=_trouble("internal-error", _deletions)),
    _fault(name="every second request is answered 429", strike=_trouble("too-many-requests", share=0.5)),
    _fault(name="410 between two pages", strike=_trouble("expired", _pages, share=0.3, page_size=2)),
    _fault(name="410 instead of a watch", strike=_trouble("expired", _watches)),
    _fault(name="lists take 3 s", strike=_trouble("slow", _lists, delay_s=3.0)),
    _fault(name="every third body breaks off", strike=_trouble("cut", share=0.3)),
    _fault(name="every third connection breaks", strike=_trouble("drop", share=0.3)),
)
