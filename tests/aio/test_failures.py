"""What a task group raises, without the group."""

from bot.aio.failures import first_failure

ONE, OTHER, THIRD = LookupError("one"), ValueError("other"), UnicodeError("third")
GROUP = ExceptionGroup("outer", [ExceptionGroup("inner", [ONE, OTHER]), THIRD])


def test_the_first_is_found_at_any_depth():
    assert first_failure(GROUP) is ONE
    assert first_failure(OTHER) is OTHER


def test_one_of_a_class_goes_before_others():
    assert first_failure(GROUP, rather=UnicodeError) is THIRD
    assert first_failure(GROUP, rather=ValueError) is OTHER


def test_where_there_is_none_of_that_class_it_is_the_first():
    assert first_failure(GROUP, rather=OSError) is ONE
