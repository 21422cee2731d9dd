"""Task groups that leave their caller's deadline able to fire."""

import asyncio
import sys
from types import TracebackType
from typing import Any


class TaskGroup(asyncio.TaskGroup):
    """A task group that takes back its own cancellation of the parent, as that of Python 3.13 does.

    A child that fails while the parent waits at the end of the block cancels the parent. Before 3.13 nobody takes that
    back (https://github.com/python/cpython/issues/116720): the task counts as cancelled for ever, and an
    `asyncio.timeout` around it raises `CancelledError`, as if somebody wanted the task to end.
    """

    if sys.version_info < (3, 13):

        async def __aexit__(
            self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
        ) -> None:
            task = asyncio.current_task()
            was_taken_back = self._has_cancelled_the_parent()
            try:
                await super().__aexit__(kind, error, traceback)
            except BaseExceptionGroup:
                if task and self._has_cancelled_the_parent() and not was_taken_back:
                    task.uncancel()
                if task and task.cancelling():
                    asyncio.get_running_loop().call_soon(_cancel_again, task)
                raise

        def _has_cancelled_the_parent(self) -> bool:
            return bool(vars(self)["_parent_cancel_requested"])


def _cancel_again(task: "asyncio.Task[Any]") -> None:
    """Deliver what others have ordered and the group's error has hidden.

    Not at once: a timeout that the error passes takes back its own order, and before 3.13 what is delivered already
    stays delivered.
    """
    if task.cancelling() and not task.done():
        task.uncancel()
        task.cancel()
