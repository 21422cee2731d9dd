"""Many reads at once, of which some may fail: each result, or why there is none."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from bot.cluster.client.api import Api, Listed
from bot.cluster.client.paths import api_path
from bot.domain.errors import BotError, ForbiddenError, NotFoundError
from bot.domain.report import ApiRead, Unobserved

T = TypeVar("T")

CONCURRENT_READS = 12


class Reader:
    """Reads from one API server; what fails stands in `unobserved`, what was begun and not ended in `pending`."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.unobserved: list[Unobserved] = []
        self.pending: dict[str, ApiRead] = {}
        self._gate = asyncio.Semaphore(CONCURRENT_READS)

    async def attempt(
        self,
        what: str,
        read: ApiRead,
        work: Callable[[], Awaitable[T]],
        *,
        is_missed: bool = True,
        absent: T | None = None,
    ) -> T | None:
        """What `work` gives, `absent` where it does not exist, or None, and why in `unobserved`.

        `what` names the `read` for people.
        `is_missed=False`: a failure is not worth a word, because another read stands in for this one.
        """
        self.pending[what] = read
        result: T | None = None
        try:
            async with self._gate:
                result = await work()
        except NotFoundError:
            result = absent
        except BotError as error:
            if is_missed:
                self.miss(what, read, error)
        del self.pending[what]  # but not when cancelled: then it was not read
        return result

    async def list(  # noqa: PLR0913 - what, where, and what may fail
        self,
        resource: str,
        item_type: type[T],
        *,
        group: str = "",
        version: str = "v1",
        namespace: str = "",
        what: str = "",
        is_missed: bool = True,
        is_optional: bool = False,
        max_items: int = 100_000,
        **query: str,
    ) -> tuple[T, ...] | None:
        """The objects, or None when they could not be read (or `is_optional`, and the API does not serve them).

        `what` names them where they are missed; by default the resource, namespace and selectors do.
        """
        read = ApiRead(plural=resource, group=group, namespace=namespace, selector=", ".join(query.values()))
        label = what or _label(read)
        path = api_path(resource, group=group, version=version, namespace=namespace)
        listed = await self.attempt(
            label,
            read,
            lambda: self.api.list_all(path, item_type, max_items=max_items, **query),
            is_missed=is_missed,
            absent=None if is_optional else Listed(items=()),
        )
        if listed is None:
            return None
        if listed.skipped:
            self._note(label, read, f"{listed.skipped} of them could not be understood.")
        if listed.is_cut:
            self._note(label, read, f"There are more than {len(listed.items)}: the rest was not read.")
        return listed.items

    def miss(self, what: str, read: ApiRead, error: BotError) -> None:
        """Note that something could not be read, with the permission that would help."""
        self._note(what, read, str(error), error.permission if isinstance(error, ForbiddenError) else "")

    def _note(self, what: str, read: ApiRead, why: str, remedy: str = "") -> None:
        self.unobserved.append(Unobserved(what=what, why=why, remedy=remedy, kind="api", reads=(read,)))

    def late(self, deadline_s: float) -> None:
        """Note whatever was begun and did not end in time."""
        for what, read in self.pending.items():
            self._note(what, read, f"It was not read within {deadline_s:g} s.")


def _label(read: ApiRead) -> str:
    where = f" in namespace {read.namespace}" if read.namespace else ""
    selected = f" ({read.selector})" if read.selector else ""
    return read.plural + where + selected
