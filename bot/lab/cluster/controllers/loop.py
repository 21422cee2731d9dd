"""The loop of a controller: changes become keys, keys are reconciled one by one, failures are tried again."""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import structlog

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.parts import items_of
from bot.lab.cluster.apiserver.store.history import Cursor
from bot.lab.cluster.apiserver.store.storage import Storage

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

Obj = Mapping[str, Any]
Key = tuple[str, str]
"""Namespace (empty at the cluster scope) and name."""

Mapper = Callable[[Obj], Iterable[Key]]
"""Which keys have to be reconciled when an object changes."""

_RETRY_S = 0.5
_BATCH = 100
"""So many keys are reconciled before others may run."""


class Controller(Protocol):
    """Brings the cluster's state nearer to what objects ask for."""

    @property
    def name(self) -> str:
        """For logs."""
        ...

    @property
    def watches(self) -> Mapping[str, Mapper]:
        """The resources whose changes matter."""
        ...

    def reconcile(self, namespace: str, name: str, /) -> float | None:
        """One step for one key; the seconds after which to look again, or None."""
        ...


def key_of(obj: Obj) -> Key:
    """The key of an object itself."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def itself(obj: Obj) -> Iterable[Key]:
    """The mapper of a controller's own resource."""
    yield key_of(obj)


def owned_by(kind: str) -> Mapper:
    """The mapper from an object to its controlling owner of this kind."""

    def owner(obj: Obj) -> Iterable[Key]:
        reference = controller_of(obj)
        if reference is not None and reference["kind"] == kind:
            yield obj["metadata"].get("namespace", ""), reference["name"]

    return owner


def controller_of(obj: Obj) -> Mapping[str, Any] | None:
    """The owner reference of the object's controller."""
    references = items_of(obj["metadata"], "ownerReferences")
    return next((reference for reference in references if reference.get("controller")), None)


class _Queue:
    """Keys to do now, each once, and keys to do later."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._now: dict[Key, None] = {}
        self._later: list[tuple[float, Key]] = []

    def add(self, key: Key) -> None:
        self._now[key] = None

    def add_later(self, key: Key, delay_s: float) -> None:
        heapq.heappush(self._later, (self._clock() + delay_s, key))

    def take(self) -> Key | None:
        while self._later and self._later[0][0] <= self._clock():
            self.add(heapq.heappop(self._later)[1])
        if not self._now:
            return None
        key = next(iter(self._now))
        del self._now[key]
        return key

    @property
    def next_at(self) -> float | None:
        return self._later[0][0] if self._later else None


async def run(storage: Storage, controller: Controller) -> None:
    """Run a controller until cancelled."""
    queue = _Queue(asyncio.get_running_loop().time)
    cursors = {resource: Cursor(storage.collection(resource), storage.revision) for resource in controller.watches}
    for resource, mapper in controller.watches.items():
        _enqueue_all(storage, queue, resource, mapper)
    done = 0
    while True:
        changed = storage.changed
        for resource, mapper in controller.watches.items():
            _enqueue(storage, queue, cursors, resource, mapper)
        key = queue.take()
        if key is not None:
            _reconcile(controller, queue, key)
            done += 1
            if done % _BATCH == 0:
                await asyncio.sleep(0)
            continue
        try:
            async with asyncio.timeout_at(queue.next_at):
                await changed.wait()
        except TimeoutError:
            continue


def _enqueue_all(storage: Storage, queue: _Queue, resource: str, mapper: Mapper) -> None:
    for obj in storage.peek(resource):
        for key in mapper(obj):
            queue.add(key)


def _enqueue(storage: Storage, queue: _Queue, cursors: dict[str, Cursor], resource: str, mapper: Mapper) -> None:
    try:
        changes = cursors[resource].take()
    except ApiError:  # too far behind: look at everything
        cursors[resource] = Cursor(storage.collection(resource), storage.revision)
        _enqueue_all(storage, queue, resource, mapper)
        return
    for change in changes:
        for key in mapper(change.record.obj):
            queue.add(key)
        if change.previous is not None:  # a changed label or owner concerns the former one too
            for key in mapper(change.previous.obj):
                queue.add(key)


def _reconcile(controller: Controller, queue: _Queue, key: Key) -> None:
    try:
        again_s = controller.reconcile(*key)
    except ApiError as error:
        log.debug("controller.refused", controller=controller.name, key=key, error=error.message)
        again_s = _RETRY_S
    except Exception:
        log.exception("controller.failed", controller=controller.name, key=key)
        again_s = _RETRY_S
    if again_s is not None:
        queue.add_later(key, again_s)
