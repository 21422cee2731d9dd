"""Many reads at once, of which some may fail: each result, or why there is none."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar

from bot.cluster.kube import Api, Listed
from bot.cluster.paths import api_path
from bot.domain.errors import BotError, ForbiddenError, NotFoundError
from bot.domain.report import Unobserved

T = TypeVar("T")

CONCURRENT_READS = 12


class Reader:
    """Reads from one API server; what fails stands in `unobserved`, what was begun and not ended in `pending`."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.unobserved: list[Unobserved] = []
        self.pending: dict[str, None] = {}
        self._gate = asyncio.Semaphore(CONCURRENT_READS)

    async def attempt(
        self, what: str, work: Callable[[], Awaitable[T]], *, is_missed: bool = True, absent: T | None = None
    ) -> T | None:
        """What `work` gives, `absent` where it does not exist, or None, and why in `unobserved`.

        `is_missed=False`: a failure is not worth a word, because another read stands in for this one.
        """
        self.pending[what] = None
        result: T | None = None
        try:
            async with self._gate:
                result = await work()
        except NotFoundError:
            result = absent
        except BotError as error:
            if is_missed:
                self.miss(what, error)
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
        label = what or _label(resource, namespace, query)
        path = api_path(resource, group=group, version=version, namespace=namespace)
        listed = await self.attempt(
            label,
            lambda: self.api.list_all(path, item_type, max_items=max_items, **query),
            is_missed=is_missed,
            absent=None if is_optional else Listed(items=()),
        )
        if listed is None:
            return None
        if listed.skipped:
            self._note(label, f"{listed.skipped} of them could not be understood.")
        if listed.is_cut:
            self._note(label, f"There are more than {len(listed.items)}: the rest was not read.")
        return listed.items

    def miss(self, what: str, error: BotError) -> None:
        """Note that something could not be read, with the permission that would help."""
        remedy = error.permission if isinstance(error, ForbiddenError) else ""
        self.unobserved.append(Unobserved(what=what, why=str(error), remedy=remedy))

    def _note(self, what: str, why: str) -> None:
        self.unobserved.append(Unobserved(what=what, why=why))

    def late(self, deadline_s: float) -> None:
        """Note whatever was begun and did not end in time."""
        for what in self.pending:
            self._note(what, f"It was not read within {deadline_s:g} s.")


def _label(resource: str, namespace: str, query: Mapping[str, str]) -> str:
    where = f" in namespace {namespace}" if namespace else ""
    selected = f" ({', '.join(query.values())})" if query else ""
    return resource + where + selected
