import pytest

from tests.slack.views.goldens import CASES, HERE


@pytest.mark.parametrize("name", CASES)
def test_messages_read_as_they_were_approved(name: str) -> None:
    """A change of wording shows as a difference of these files: read it, then renew them."""
    assert CASES[name]() == (HERE / "golden" / f"{name}.txt").read_text(encoding="utf-8")


def test_every_golden_file_is_of_a_case() -> None:
    assert {path.stem for path in (HERE / "golden").glob("*.txt")} == set(CASES)
