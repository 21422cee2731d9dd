"""What a task group raises, without the group."""

from typing import cast


def first_failure(failure: BaseException, *, rather: type[BaseException] | None = None) -> BaseException:
    """The first failure that is not itself a group; one of the class `rather` goes before others."""
    if not isinstance(failure, BaseExceptionGroup):
        return failure
    group = cast("BaseExceptionGroup[BaseException]", failure)
    inner = [first_failure(each, rather=rather) for each in group.exceptions]
    return next((each for each in inner if rather and isinstance(each, rather)), inner[0])
