"""The part of `docs/accuracy.md` about generated scenarios."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bot.gym.generated.figures import Figures, baselines, by
from bot.gym.generated.outcome import Result
from bot.gym.generated.results import GeneratedResults, of_rung, summary
from bot.gym.results import in_days

_WORDS = {
    "right": "cause, hop and culprit named",
    "partly": "cause named, hop or culprit not",
    "honest": "no cause claimed; hop or culprit right",
    "vague": "nothing claimed, nothing found",
    "misled": "a wrong cause leads, not confirmed",
    "healthy": "healthy, though it is broken",
    "wrong-confirmed": "**a wrong cause confirmed**",
}

_MORE: Mapping[str, Callable[[Figures], str]] = {
    "hop right": lambda one: str(one.hop),
    "culprit named": lambda one: str(one.culprit),
    "replies lost: said so": lambda one: str(one.direction),
    "decoys that nobody blamed": lambda one: str(one.quiet),
    "asked again after 10 s: another verdict": lambda one: str(one.flips),
    "seconds, median and 95th percentile": lambda one: f"{one.median_s:.1f}, {one.p95_s:.1f}",
}


def section(run: GeneratedResults) -> list[str]:
    """The lines."""
    return list(_lines(run))


def _lines(run: GeneratedResults) -> Iterator[str]:
    rungs = summary(run)
    top = "agent" if "agent" in rungs else next(iter(rungs), "agent")
    results = of_rung(run.results, top)
    total = rungs.get(top)
    if total is None:
        return
    yield "## Faults that nobody wrote a rule for"
    yield ""
    yield "A seed composes each from a mechanism (packet filters of any family and hook, queues and tc filters,"
    yield "routes and rules, neighbour and forwarding entries, kernel settings, links, DNS, Kubernetes objects), a"
    yield "place on the way, a selector (pod, port, node, size, fraction, connection state), a direction and a data"
    yield "plane. Sockets in the lab's own pods prove that it breaks what an application needs, before anything is"
    yield "diagnosed; the truth is what was done. `cnibot lab gym --explain CNI/SEED` prints the commands of each."
    yield ""
    yield f"Taken by `{run.command}`"
    yield f"on {run.machine.cpus} CPUs, Linux {run.machine.kernel}, on {in_days(one.taken_on for one in results)}:"
    yield f"{total.broken} faults with an effect and"
    yield f"{sum(total.decoys.values())} decoys; {total.without_effect} more had no effect and {total.not_done} were"
    yield "refused by the kernel or the lab, and do not count. Shares with Wilson's 95 % interval."
    yield ""
    yield "| outcome | " + " | ".join(f"rung {rung}" for rung in rungs) + " |"
    yield "|---|" + "---|" * len(rungs)
    for outcome, words in _WORDS.items():
        yield f"| {words} | " + " | ".join(str(one.share(outcome)) for one in rungs.values()) + " |"
    yield "| hop right | " + " | ".join(str(one.hop) for one in rungs.values()) + " |"
    yield "| culprit named | " + " | ".join(str(one.culprit) for one in rungs.values()) + " |"
    yield "| replies lost: said so | " + " | ".join(str(one.direction) for one in rungs.values()) + " |"
    yield "| decoys that nobody blamed | " + " | ".join(str(one.quiet) for one in rungs.values()) + " |"
    yield "| asked again after 10 s: another verdict | " + " | ".join(str(one.flips) for one in rungs.values()) + " |"
    yield (
        "| seconds, median and 95th percentile | "
        + " | ".join(f"{one.median_s:.1f}, {one.p95_s:.1f}" for one in rungs.values())
        + " |"
    )
    yield ""
    yield from _baselines(results, total)
    yield from _groups(results)
    yield from _not_known(results)


def _baselines(results: Sequence[Result], total: Figures) -> Iterator[str]:
    yield "Two programs that inspect nothing, given the answers of this very run (so they are flattered), and the bot:"
    yield ""
    yield "| who | cause right |"
    yield "|---|---|"
    for one in baselines(results):
        yield f"| {one.name} | {one.right} |"
    yield f"| cnibot, cause right (with or without the culprit) | {total.share('right', 'partly')} |"
    yield ""


def _groups(results: Sequence[Result]) -> Iterator[str]:
    yield "| mechanism | faults | right | partly | honest | vague | misled | healthy | wrong, confirmed |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for name, one in by(
        [r for r in results if not r.is_decoy], lambda result: f"{result.family}: {result.mechanism}"
    ).items():
        yield f"| {name} | {one.broken} | " + " | ".join(str(one.faults[outcome]) for outcome in _WORDS) + " |"
    yield ""


def _not_known(results: Sequence[Result]) -> Iterator[str]:
    """What is not known yet, by kind: the reader shall know where to look by hand."""
    yield "### What it cannot tell"
    yield ""
    yield "Confirmed wrongly (repeat with `--explain ID`), healthy while broken, or misled:"
    yield ""
    bad = [one for one in results if one.outcome in {"wrong-confirmed", "healthy", "misled", "alarm"}]
    yield "| id | what was done | verdict |"
    yield "|---|---|---|"
    for one in sorted(bad, key=lambda result: (result.outcome != "wrong-confirmed", result.outcome, result.id)):
        said = f"{one.outcome}: {', '.join(one.wrong) or one.cause or one.status}"
        yield f"| {one.id} | {one.mechanism}, {one.place}: {_cell(one.says)} | {said} |"
    if not bad:
        yield "| none | | |"
    yield ""
    vague = by(
        [one for one in results if one.outcome in {"vague", "honest"}],
        lambda one: f"{one.mechanism}, {one.place}, {one.direction}",
    )
    yield "Left open (honest: hop or culprit right; vague: neither), by mechanism, place and direction:"
    yield ""
    for name, one in vague.items():
        yield f"- {name}: {one.faults['honest']} honest, {one.faults['vague']} vague"
    if not vague:
        yield "- none"
    yield ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
