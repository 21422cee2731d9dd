"""What a report looks like on terminals of several widths, and where there is none."""

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from bot.domain.report import FindingReport, Report, Trace, Transient, Verdict
from bot.render.terminal import lines, show

HERE = Path(__file__).parent
REPORTS = HERE.parent / "slack" / "views" / "reports"
WIDTHS: Mapping[str, int | None] = {"60": 60, "80": 80, "120": 120, "piped": None}
NAMES = ("one-cause", "path-mtu", "inconclusive", "nothing-seen")


def report(name: str) -> Report:
    return msgspec.json.decode((REPORTS / f"{name}.json").read_bytes(), type=Report)


def drawn(name: str, width: int | None, *, details: bool = False) -> str:
    rows = [line.plain.rstrip() for line in lines(report(name), width=width, details=details)]
    return "\n".join(rows) + "\n"


def golden(name: str, width: str) -> Path:
    return HERE / "golden" / f"{name}.{width}.txt"


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", NAMES)
def test_a_report_reads_as_it_was_approved(name: str, width: str) -> None:
    """`python -m tests.render.test_terminal` renews them: read them then."""
    assert drawn(name, WIDTHS[width]) == golden(name, width).read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [40, 60, 80, 120, None])
@pytest.mark.parametrize("name", NAMES)
def test_commands_are_never_broken(name: str, width: int | None) -> None:
    shown = drawn(name, width, details=True).splitlines()
    for fix in report(name).remediations:
        for one in fix.at:
            alone = [command for command in one.commands if len(one.commands) == 1]
            assert [command for command in alone if f"    {command}" not in shown] == []


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("name", NAMES)
def test_prose_fits_the_width(name: str, width: int) -> None:
    wide = [row for row in drawn(name, width).splitlines() if len(row) > width]
    assert [row for row in wide if not row.startswith("    ") and " " in row.strip()[:width]] == []


def test_what_to_do_stands_before_the_proofs() -> None:
    shown = drawn("one-cause", 80)

    assert shown.index("What to do now on node-2") < shown.index("Why: Proxy ARP") < shown.index("Then")
    assert len(shown.splitlines()) <= 45


def test_the_path_is_drawn_downwards_where_it_has_no_room() -> None:
    assert "─✗─" in drawn("one-cause", 120)
    narrow = drawn("one-cause", 60)
    assert "─✗─" not in narrow
    assert "✗ 169.254.1.1" in narrow


def test_where_nobody_looks_nothing_is_wrapped_or_padded() -> None:
    console = Console(file=io.StringIO(), width=40)
    show(console, report("one-cause"))
    assert isinstance(console.file, io.StringIO)
    shown = console.file.getvalue().splitlines()

    assert shown == drawn("one-cause", None).splitlines()
    assert [row for row in shown if row != row.rstrip()] == []
    assert shown[0] == "BROKEN node-2: proxy ARP is off, 8 pods have no gateway"


@pytest.mark.parametrize("access", ["api", "exec", "cni-agent"])
def test_what_would_settle_it_is_said_where_less_was_read_than_can_be(access: str) -> None:
    whole = report("nothing-seen")
    seen = replace(whole, coverage=replace(whole.coverage, access=access))

    assert "--access agent" in "\n".join(line.plain for line in lines(seen))


def test_where_no_known_cause_fits_it_is_said_where_to_begin() -> None:
    """An inconclusive verdict is no dead end."""
    lost = Trace(flow="a to b", source="pod shop/a", lost=3, sent=3, sentence="3 of 3 were last seen on node-1.")
    whole = report("inconclusive")
    seen = replace(whole, steps=(), causes=(), coverage=replace(whole.coverage, access="agent"))

    def shown(one: Report) -> str:
        return "\n".join(line.plain for line in lines(one))

    assert "no known cause fits: compare what fails below" in shown(seen)
    assert "no known cause fits: follow the probe packets below" in shown(replace(seen, trace=(lost,)))


def test_a_warning_under_healthy_is_no_cross() -> None:
    detour = FindingReport(probe="overlay", subject="node node-2", severity="warn", sentence="node-2 takes a detour.")
    whole = replace(report("nothing-seen"), verdict=Verdict(status="healthy"), causes=(), findings=(detour,))

    shown = "\n".join(line.plain for line in lines(whole))

    assert "! node-2 takes a detour." in shown
    assert "✗" not in shown


def test_what_came_and_went_is_no_news_beside_a_known_cause() -> None:
    gone = Transient(subject="pod shop/a", symptom="x", sentence="shop/a does not reach shop/b.", after_s=8.0)
    whole = replace(report("one-cause"), transients=(gone,))

    assert "Recovered by itself" not in "\n".join(line.plain for line in lines(whole))
    assert "Recovered by itself" in "\n".join(line.plain for line in lines(whole, details=True))


def test_what_is_possible_only_is_never_called_a_second_fault() -> None:
    one, *_ = report("one-cause").causes
    possible = replace(one, id="other", title="Another thing", confidence="possible", explains=())
    whole = replace(report("one-cause"), causes=(one, possible))

    assert "Possible: Another thing (possible)" in "\n".join(line.plain for line in lines(whole, details=True))
    assert "? Another thing" in "\n".join(line.plain for line in lines(whole))
    assert "Besides" not in "\n".join(line.plain for line in lines(whole, details=True))


def write() -> None:
    """Every file anew."""
    (HERE / "golden").mkdir(exist_ok=True)
    for name in NAMES:
        for width, columns in WIDTHS.items():
            golden(name, width).write_text(drawn(name, columns), encoding="utf-8")


if __name__ == "__main__":
    write()
