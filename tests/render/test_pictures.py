"""Pictures: what they show, in which order, in words too; and the child that draws them."""

from __future__ import annotations

import asyncio
import io
import struct
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bot.domain.report import Connectivity, Coverage, PathHop, Report, ReportScope, Verdict
from bot.render.pictures import Artist, canvas, matrix_of, way_of
from bot.render.pictures.fonts import provide
from bot.render.pictures.matrix_model import MOST_NODES, labels

State = Literal["ok", "failed", "partial", "unknown"]


def report(**changes: Any) -> Report:
    """A report about nothing in particular."""
    seen = Coverage(access="agent", nodes_observed=3, nodes_total=3, pods_observed=9, pods_total=9)
    known: dict[str, Any] = {
        "scope": ReportScope(cluster="prod", namespace="shop"), "started_at": "2026-11-22T02:14:07Z", "took_s": 3.0,
        "verdict": Verdict(status="broken", cause="calico-proxy-arp-off"), "coverage": seen,
    }  # fmt: skip
    return Report(**known | changes)


def pair(source: str, target: str, state: State) -> Connectivity:
    tested = 0 if state == "unknown" else 4
    return Connectivity(
        source=source, target=target, state=state, tested=tested, failed={"failed": 4, "partial": 1}.get(state, 0)
    )


def between(nodes: list[str], wrong: dict[tuple[str, str], State]) -> Report:
    """All directions between the nodes: fine, but for `wrong`."""
    return report(connectivity=tuple(pair(a, b, wrong.get((a, b), "ok")) for a, b in product(nodes, repeat=2)))


NODES = ["node-1", "node-2", "node-10"]
CUT_OFF: dict[tuple[str, str], State] = {
    (a, b): "failed" for a, b in product(NODES, repeat=2) if a != b and "node-2" in {a, b}
}


def test_nodes_stand_as_people_count() -> None:
    matrix = matrix_of(between(["node-10", "node-9", "node-1"], {}))
    assert matrix
    assert matrix.names == ("node-1", "node-9", "node-10")


def test_a_row_is_from_a_column_is_to() -> None:
    matrix = matrix_of(between(NODES, {("node-1", "node-10"): "partial"}))
    assert matrix
    assert [[cell.state for cell in row] for row in matrix.cells] == [
        ["ok", "ok", "partial"],
        ["ok", "ok", "ok"],
        ["ok", "ok", "ok"],
    ]
    assert (matrix.cells[0][2].failed, matrix.cells[0][2].tested) == (1, 4)


def test_only_the_node_that_is_cut_off_stands_out() -> None:
    """Every other node fails towards it, and has nothing wrong with it."""
    matrix = matrix_of(between(NODES, CUT_OFF))
    assert matrix
    assert matrix.bad == (False, True, False)
    assert matrix.subtitle == "shop on prod · 3 nodes · 2026-11-22 02:14 UTC"
    assert matrix.alt_text == (
        "Connectivity matrix of 3 nodes: 4 of 9 directions fail. Reaching no other node: node-2. "
        "Reached by no other node: node-2."
    )


@pytest.mark.parametrize(
    ("wrong", "title"),
    [
        ({}, "Every node reaches every other"),
        ({("node-1", "node-1"): "unknown"}, "What was tested, reaches its node"),
        ({("node-1", "node-2"): "failed"}, "1 of 9 directions fail"),
        ({("node-1", "node-2"): "partial"}, "1 of 9 directions fail now and then"),
        (CUT_OFF | {("node-1", "node-10"): "partial"}, "4 of 9 directions fail, 1 fails now and then"),
    ],
)
def test_titles(wrong: dict[tuple[str, str], State], title: str) -> None:
    matrix = matrix_of(between(NODES, wrong))
    assert matrix
    assert matrix.title == title


def losing(size: int, *lost: tuple[str, str]) -> Report:
    """Small packets pass in all directions, those of a size do not in some."""
    ways = between(NODES, {}).connectivity
    found = tuple(replace(way, lost_bytes=size if (way.source, way.target) in lost else None) for way in ways)
    hops = (PathHop(name="shop/a", state="ok"), PathHop(name="overlay", state="broken"))
    return report(connectivity=found, path=hops)


def test_where_large_packets_vanish_both_titles_say_so() -> None:
    """A matrix that calls every direction good beside a way that ends contradicts it."""
    reported = losing(1400, ("node-1", "node-2"), ("node-2", "node-1"))
    matrix, way = matrix_of(reported), way_of(reported)
    assert matrix
    assert way
    assert matrix.title == "Small packets pass everywhere, 1400 bytes vanish in 2 of 6 directions"
    assert [cell.state for cell in matrix.cells[0]] == ["ok", "large", "ok"]
    assert matrix.bad == (True, True, False)
    assert matrix.alt_text.endswith("Large packets vanish: node-1 to node-2, node-2 to node-1.")
    assert way.title == "The way of packets of 1400 bytes ends at overlay"


def test_single_directions_are_told_in_words() -> None:
    wrong: dict[tuple[str, str], State] = {
        ("node-1", "node-10"): "failed", ("node-2", "node-2"): "partial", ("node-10", "node-1"): "unknown",
    }  # fmt: skip
    matrix = matrix_of(between(NODES, wrong))
    assert matrix
    assert matrix.alt_text.endswith(
        "Fails: node-1 to node-10. Fails now and then: within node-2. Not tested: 1 direction."
    )


def test_of_many_nodes_the_failing_ones_are_drawn_first() -> None:
    nodes = [f"n{number}" for number in range(60)]
    wrong: dict[tuple[str, str], State] = {("n58", "n57"): "failed"}
    matrix = matrix_of(between(nodes, wrong))
    assert matrix
    assert len(matrix.names) == MOST_NODES
    assert matrix.names[:3] == ("n57", "n58", "n0")
    assert matrix.note == "10 more nodes not drawn: nothing fails there"


def test_failures_that_are_not_drawn_are_counted() -> None:
    nodes = [f"n{number}" for number in range(60)]
    wrong: dict[tuple[str, str], State] = dict.fromkeys(pairwise(nodes), "failed")
    matrix = matrix_of(between(nodes, wrong))
    assert matrix
    assert matrix.note == "10 more nodes not drawn, with 10 of the directions that fail"


@pytest.mark.parametrize("nodes", [[], ["node-1"]])
def test_no_matrix_of_fewer_than_two_nodes(nodes: list[str]) -> None:
    assert matrix_of(between(nodes, {})) is None


def test_no_matrix_of_nothing_tested() -> None:
    assert matrix_of(report(connectivity=(pair("a", "b", "unknown"), pair("b", "a", "unknown")))) is None


@pytest.mark.parametrize(
    ("nodes", "expected"),
    [
        (["a.eu.internal", "b.eu.internal"], ("a", "b")),
        (["a.eu.internal", "b.us.internal"], ("a.eu.internal", "b.us.internal")),
        (["ip-10-0-12-34-and-more-of-it-9", "b"], ("ip-10-0-12-…more-of-it-9", "b")),
        (["x" * 40, "x" * 41], ("xxxxxxxxxxx…xxxxxxxxx #1", "xxxxxxxxxxx…xxxxxxxxx #2")),
        (["", "\n\x1b", "? #1"], ("? #2", "? #3", "? #1")),
    ],
)
def test_labels(nodes: list[str], expected: tuple[str, ...]) -> None:
    assert labels(nodes) == expected


@given(st.lists(st.text(max_size=60), min_size=1, max_size=20, unique=True))
def test_labels_are_short_printable_and_told_apart(nodes: list[str]) -> None:
    found = labels(nodes)
    assert len(set(found)) == len(nodes)
    assert all(name.isprintable() and 0 < len(name) <= 24 for name in found)


def hop(name: str, state: Literal["ok", "broken", "unknown", "suspect"], detail: str = "") -> PathHop:
    return PathHop(name=name, state=state, detail=detail)


PATH = (hop("shop/web", "ok"), hop("gateway", "broken", "proxy ARP is off"), hop("node-2", "unknown"))


def test_the_way_in_words() -> None:
    way = way_of(report(path=PATH))
    assert way
    assert way.title == "The packet's way ends at gateway"
    assert way.subtitle == "shop on prod · calico-proxy-arp-off"
    assert [(one.name, one.words) for one in way.stations] == [
        ("shop/web", "passes"),
        ("gateway", "ends here"),
        ("node-2", "not reached"),
    ]
    assert way.alt_text == (
        "The packet's way: The packet's way ends at gateway. Station by station: shop/web passes; "
        "gateway ends here (proxy ARP is off); node-2 not reached."
    )


def test_a_suspicion_is_no_verdict() -> None:
    way = way_of(report(path=(hop("overlay", "suspect"),)))
    assert way
    assert way.title == "The packet's way may end at overlay"


def test_no_way_where_nothing_is_wrong() -> None:
    assert way_of(report()) is None


STATES = st.sampled_from(["ok", "failed", "partial", "unknown"])


@given(
    names=st.lists(st.text(max_size=300), min_size=2, max_size=6, unique=True),
    states=st.lists(STATES, min_size=36, max_size=36),
    detail=st.text(max_size=5000),
)
def test_any_text_is_made_harmless(names: list[str], states: list[State], detail: str) -> None:
    """Names come from clusters: they may be long, and hold anything."""
    chosen = zip(product(names, repeat=2), states, strict=False)
    hostile = report(
        connectivity=tuple(pair(a, b, state) for (a, b), state in chosen),
        path=tuple(hop(name, "broken", detail) for name in names),
        started_at=names[0],
    )
    way, matrix = way_of(hostile), matrix_of(hostile)
    assert way
    shown = [way.title, way.subtitle, way.alt_text, *(part for one in way.stations for part in (one.name, one.detail))]
    if matrix:
        shown += [matrix.title, matrix.subtitle, matrix.alt_text, *matrix.names]
    assert all(text.isprintable() and len(text) <= 2000 for text in shown)


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert png.endswith(b"IEND\xaeB`\x82")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


async def test_pictures_of_a_hostile_report(tmp_path: Path) -> None:
    """Formulas, escapes, letters without a glyph: drawn as they are, and nothing is wider than its page allows."""
    nodes = ["$\\frac{a}{b}$" + "x" * 200, "a\nb\x1b[31m", "節点-ünï", *(f"n{number}" for number in range(57))]
    hostile = report(
        connectivity=between(nodes, {(nodes[0], nodes[1]): "failed", (nodes[1], nodes[2]): "partial"}).connectivity,
        path=(hop("$x^2$ " * 50, "ok"), hop("", "broken", "$" * 900), hop("_{^", "suspect"), hop("%s", "unknown")),
    )
    pictures = await Artist(tmp_path).draw(hostile)

    assert [(picture.kind, picture.filename) for picture in pictures] == [
        ("path", "path.png"),
        ("connectivity", "connectivity.png"),
    ]
    for picture in pictures:
        width, height = size_of(picture.png)
        assert 400 < width < 2600
        assert 300 < height < 2600
        assert len(picture.png) < 300_000
        assert picture.alt_text
        assert picture.title


@pytest.mark.parametrize(
    ("color", "ground", "least"),
    [
        *((canvas.INK, ground, 4.5) for ground in (canvas.PAPER, canvas.RED_PALE, canvas.AMBER_PALE)),
        (canvas.GREY, canvas.PAPER, 4.5),
        (canvas.GREEN, canvas.PAPER, 4.5),
        (canvas.PAPER, canvas.RED, 4.5),
        *((canvas.GREEN, ground, 3) for ground in (canvas.GREEN_PALE, canvas.AMBER_PALE)),
        (canvas.RED, canvas.AMBER_PALE, 3),
        (canvas.INK, canvas.AMBER, 3),
        (canvas.PAPER, canvas.GREEN, 3),
        (canvas.FAINT, canvas.PAPER, 3),
    ],
)
def test_letters_and_marks_stand_out_from_their_ground(color: str, ground: str, least: float) -> None:
    """WCAG 2.2, 1.4.3 and 1.4.11: letters 4.5 to 1, marks 3 to 1."""
    light, dark = sorted((luminance(color), luminance(ground)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= least


def luminance(color: str) -> float:
    """Source: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance"""
    parts = [int(color[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


async def test_a_picture_brings_its_own_ground(tmp_path: Path) -> None:
    """Slack shows it on white or on black: nothing of that shines through, so the contrast is the same on both."""
    for picture in await Artist(tmp_path).draw(losing(1400, ("node-1", "node-2"))):
        with Image.open(io.BytesIO(picture.png)) as image:
            assert "transparency" not in image.info
            assert image.convert("RGBA").getchannel("A").getextrema() == (255, 255)
            assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


async def test_nothing_to_draw_starts_no_child(tmp_path: Path) -> None:
    artist = Artist(tmp_path, program=("/nonexistent",))
    assert await artist.draw(report()) == ()


@pytest.mark.parametrize(
    "program",
    [
        ("/nonexistent",),
        (sys.executable, "-c", "raise SystemExit('no paper')"),
        (sys.executable, "-c", "print('no JSON')"),
        (sys.executable, "-c", "print('{\"matrix\": 1}')"),
    ],
    ids=["missing", "fails", "babbles", "other JSON"],
)
async def test_a_child_that_fails_costs_the_picture_only(tmp_path: Path, program: tuple[str, ...]) -> None:
    assert await Artist(tmp_path, program=program).draw(report(path=PATH)) == ()


async def test_a_child_that_hangs_is_ended(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    script = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
    artist = Artist(tmp_path, hangs_s=3.0, program=(sys.executable, "-c", script))
    assert await artist.draw(report(path=PATH)) == ()
    assert not alive(pid)


def alive(pid: Path) -> bool:
    return pid.exists() and Path(f"/proc/{pid.read_text(encoding='ascii')}").exists()


async def test_a_child_that_computes_for_ever_is_ended(tmp_path: Path) -> None:
    """By the processor time that it used: a child that is only slow gets all the time that it needs."""
    spin = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (1, 2))\nwhile True: pass"
    artist = Artist(tmp_path, program=(sys.executable, "-c", spin))
    assert await artist.draw(report(path=PATH)) == ()


async def test_the_list_of_fonts_is_made_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ahead, cache = tmp_path / "ahead", tmp_path / "cache"
    ahead.mkdir()
    (ahead / "fontlist-v1.json").write_text("{}", encoding="utf-8")
    monkeypatch.setattr("bot.render.pictures.fonts.prepared", lambda: ahead)

    provide(cache)
    (cache / "fontlist-v1.json").write_text("a newer one", encoding="utf-8")
    provide(cache)

    assert (cache / "fontlist-v1.json").read_text(encoding="utf-8") == "a newer one"


def test_nothing_made_ahead_is_nothing_provided(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.render.pictures.fonts.prepared", lambda: tmp_path / "none")

    provide(tmp_path / "cache")

    assert not (tmp_path / "cache").exists()


async def test_cancelling_ends_the_child_too(tmp_path: Path) -> None:
    script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(3600)"
    artist = Artist(tmp_path, program=(sys.executable, "-c", script))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(2):
            await artist.draw(report(path=PATH))
    assert not alive(tmp_path / "pid")


async def test_without_matplotlib_there_are_no_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str) -> None:
        assert name == "matplotlib"

    monkeypatch.setattr("bot.render.pictures.artist.util.find_spec", nothing)
    assert await Artist(tmp_path).draw(report(path=PATH)) == ()


def test_the_bot_itself_stays_small() -> None:
    """matplotlib is 60 MB that the bot would carry for ever."""
    script = "import sys, bot.render.pictures; print(sorted({'matplotlib', 'numpy', 'PIL'} & sys.modules.keys()))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == "[]\n"
