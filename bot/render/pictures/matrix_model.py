"""The connectivity matrix as values: which nodes, in which order, what each cell says, and all of it in words."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from bot.domain.errors import bounded
from bot.domain.listing import and_more
from bot.domain.report import Connectivity, Report
from bot.render.marks import scope_words

MOST_NODES = 50
MOST_NAME = 24
MOST_ALT = 1900
"""Slack takes 2,000 characters."""

State = Literal["ok", "failed", "partial", "large", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One direction between two nodes."""

    state: State
    tested: int = 0
    failed: int = 0
    lost_bytes: int = 0
    """From this size on packets vanish, though smaller ones pass."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """What is drawn. `cells[row][column]` is from the row's node to the column's."""

    title: str
    subtitle: str
    names: tuple[str, ...]
    """Nodes as they are labelled: short, and distinct."""
    bad: tuple[bool, ...]
    """For each node, whether something fails from it or to it."""
    cells: tuple[tuple[Cell, ...], ...]
    note: str = ""
    """What was left out."""
    alt_text: str = ""


def matrix_of(report: Report) -> Matrix | None:
    """The matrix of a report; None when there are no two nodes between which something was tested."""
    pairs = {(pair.source, pair.target): pair for pair in report.connectivity}
    nodes = sorted({node for pair in pairs for node in pair}, key=_natural)
    if len(nodes) < 2 or all(pair.state == "unknown" for pair in pairs.values()):
        return None
    deaf = _cut_off(report.connectivity, "target")
    dumb = _cut_off(report.connectivity, "source")
    weights = _weights(report.connectivity, deaf, dumb)
    threshold = 2 if max(weights.values(), default=0) > 1 else 1  # what fails now and then stands out only by itself
    chosen = nodes
    if len(nodes) > MOST_NODES:
        chosen = sorted(nodes, key=lambda node: (-weights[node], _natural(node)))[:MOST_NODES]
    left_out = set(nodes) - set(chosen)
    return Matrix(
        title=_title(report.connectivity),
        subtitle=f"{bounded(scope_words(report), 90)} · {len(nodes)} nodes · {_when(report.started_at)}",
        names=labels(chosen),
        bad=tuple(weights[node] >= threshold for node in chosen),
        cells=tuple(tuple(_cell(pairs.get((row, column))) for column in chosen) for row in chosen),
        note=_note(left_out, report.connectivity),
        alt_text=_alt_text(report.connectivity, len(nodes), deaf, dumb),
    )


def _cut_off(pairs: Sequence[Connectivity], role: Literal["source", "target"]) -> set[str]:
    """Nodes that reach no other, or that no other reaches; of those with at least two others that were tried."""
    tried: Counter[str] = Counter()
    failed: Counter[str] = Counter()
    for pair in pairs:
        if pair.source != pair.target and pair.state != "unknown":
            node = pair.source if role == "source" else pair.target
            tried[node] += 1
            failed[node] += pair.state == "failed"
    return {node for node, count in tried.items() if count > 1 and failed[node] == count}


def _weights(pairs: Sequence[Connectivity], deaf: set[str], dumb: set[str]) -> Counter[str]:
    """How much is wrong with each node. That one reaches no node which nobody reaches says nothing about it."""
    found: Counter[str] = Counter(dict.fromkeys(deaf, 1000)) + Counter(dict.fromkeys(dumb, 1000))
    for pair in pairs:
        if pair.state in {"failed", "partial"} and pair.source not in dumb and pair.target not in deaf:
            for node in {pair.source, pair.target}:
                found[node] += 2 if pair.state == "failed" else 1
        elif _loses_large(pair):
            found.update((pair.source, pair.target))
    return found


def _when(started_at: str) -> str:
    """2026-11-22T02:14:07Z as people write it; anything else as it is."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d(?:\.\d+)?(?:Z|\+00:00)", started_at)
    return f"{found[1]} {found[2]} UTC" if found else bounded(started_at, 40)


def _cell(pair: Connectivity | None) -> Cell:
    if pair is None:
        return Cell(state="unknown")
    if _loses_large(pair):
        return Cell(state="large", tested=pair.tested, lost_bytes=pair.lost_bytes or 0)
    return Cell(state=pair.state, tested=pair.tested, failed=pair.failed)


def _loses_large(pair: Connectivity) -> bool:
    """Whether only large packets fail in this direction."""
    return pair.state == "ok" and pair.lost_bytes is not None


def _natural(name: str) -> tuple[tuple[int, str], ...]:
    """Sorts node-2 before node-10."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d{1,12})", name))


def labels(nodes: Sequence[str]) -> tuple[str, ...]:
    """Names that fit: without the domain that all share, shortened in the middle, numbered if that makes them equal."""
    domains = {name.partition(".")[1] + name.partition(".")[2] for name in nodes}
    shared = len(domains) == 1
    names = [bounded(name.partition(".")[0] if shared else name, 253) or "?" for name in nodes]
    short = [name if len(name) <= MOST_NAME else f"{name[:11]}…{name[-12:]}" for name in names]
    equal = Counter(short)
    taken = {name for name in short if equal[name] == 1}
    found: list[str] = []
    for name in short:
        number, label = 0, name
        while equal[name] > 1 and (not number or label in taken):
            number += 1
            suffix = f" #{number}"
            label = name[: MOST_NAME - len(suffix)] + suffix
        taken.add(label)
        found.append(label)
    return tuple(found)


def _title(pairs: Sequence[Connectivity]) -> str:
    decided = [pair for pair in pairs if pair.state != "unknown"]
    failed = sum(pair.state == "failed" for pair in decided)
    partial = sum(pair.state == "partial" for pair in decided)
    large = [pair for pair in decided if _loses_large(pair)]
    if large and not failed and not partial:
        where = " everywhere" if len(decided) == len(pairs) else ""
        size, ways = min(pair.lost_bytes or 0 for pair in large), sum(one.source != one.target for one in decided)
        return f"Small packets pass{where}, {size} bytes vanish in {len(large)} of {ways} directions"
    if not failed and not partial:
        return "Every node reaches every other" if len(decided) == len(pairs) else "What was tested, reaches its node"
    parts = [f"{failed} of {len(decided)} directions fail"] if failed else []
    if partial:
        now_and_then = f"{partial} fail{'s' * (partial == 1)} now and then"
        parts.append(now_and_then if failed else f"{partial} of {len(decided)} directions fail now and then")
    if large:
        parts.append(f"large packets vanish in {len(large)} more")
    return ", ".join(parts)


def _note(left_out: set[str], pairs: Sequence[Connectivity]) -> str:
    if not left_out:
        return ""
    hidden = sum(
        pair.state in {"failed", "partial"} and not left_out.isdisjoint((pair.source, pair.target)) for pair in pairs
    )
    nodes = f"{len(left_out)} more node{'s' * (len(left_out) > 1)} not drawn"
    return f"{nodes}, with {hidden} of the directions that fail" if hidden else f"{nodes}: nothing fails there"


def _alt_text(pairs: Sequence[Connectivity], nodes: int, deaf: set[str], dumb: set[str]) -> str:
    """What the picture shows, in sentences: whole rows and columns first, then single pairs."""
    sentences = [f"Connectivity matrix of {nodes} nodes: {_title(pairs)}."]
    if dumb:
        sentences.append(f"Reaching no other node: {and_more(sorted(dumb, key=_natural), 20)}.")
    if deaf:
        sentences.append(f"Reached by no other node: {and_more(sorted(deaf, key=_natural), 20)}.")
    rest = [
        pair for pair in pairs
        if pair.source == pair.target or (pair.source not in dumb and pair.target not in deaf)
    ]  # fmt: skip
    for state, words in (("failed", "Fails"), ("partial", "Fails now and then")):
        found = [_pair(pair) for pair in rest if pair.state == state]
        if found:
            sentences.append(f"{words}: {and_more(found, 20)}.")
    if large := [_pair(pair) for pair in rest if _loses_large(pair)]:
        sentences.append(f"Large packets vanish: {and_more(large, 20)}.")
    if unknown := sum(pair.state == "unknown" for pair in pairs):
        sentences.append(f"Not tested: {unknown} direction{'s' * (unknown > 1)}.")
    return bounded(" ".join(sentences), MOST_ALT)


def _pair(pair: Connectivity) -> str:
    return f"within {pair.source}" if pair.source == pair.target else f"{pair.source} to {pair.target}"
