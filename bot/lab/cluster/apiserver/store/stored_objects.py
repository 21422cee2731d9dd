"""What admission, initial state, lifecycle and services read of the storage that calls them."""

import random
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, Protocol


class StoredObjects(Protocol):
    """The cluster's objects, to be read only, and the sources of what is new in a new one."""

    now: Callable[[], datetime]
    rng: random.Random

    def new_uid(self) -> str:
        """A UID that no object has."""
        ...

    def find(self, resource: str, name: str, namespace: str | None = None) -> Mapping[str, Any] | None:
        """One object, or None."""
        ...

    def peek(self, resource: str, namespace: str | None = None) -> Iterator[Mapping[str, Any]]:
        """The objects of a namespace, or all."""
        ...
