"""docs/chaos.md, from the results that `make chaos` kept."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "chaos.json"
PAGE = "docs/chaos.md"
COUNTED = ("asked", "accepted", "verdicts", "failures", "broken")

HEAD = """# Chaos

`make chaos` plays seeded scenarios against the real bot: `cnibot serve` as a process of its own, a real redis-server,
the lab's cluster behind a proxy that can fail, and the lab's Slack workspace. In each, people and Alertmanager ask
while up to four faults strike at drawn instants; then everything heals, one more command is given, and it is counted
what holds. One bot goes through up to five of them before it is asked to end; each fault of the list once, in three
such lives, is what CI plays. `make chaos SEED=7` plays one again in a life of its own, `make chaos SEED="3 7"`
several in one, and `make chaos ROUNDS=50` the attacks of the other tests and then 50 new seeds. A scenario that
breaks a promise prints the seeds of its life, what happened second by second, and the end of the bot's log.

## What must hold after each

{invariants}

## Results

{summary}

| fault | scenarios | requests | accepted | verdicts | "no verdict, because …" | promises broken |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |
{rows}

Each scenario counts with all of its faults. There are more last words than requests where somebody asked again because
Slack had shown an error, and the bot had received it all the same.
"""

INVARIANTS = """\
- **Nothing accepted is lost**: every command, mention and alert that was acknowledged has its answer; inbox and outbox
  are empty; nothing was given up.
- **Nothing is done twice**: each message is in Slack once, each request has one thread, each run one last word.
- **Nothing untrue is said**: the lab is broken in one known way. A verdict may know less, but never *healthy*, and no
  other cause is confirmed.
- **It goes on**: the bot ends only where it must refuse to run (a dead token, a store that takes no password); its log
  has no traceback; afterwards a command gets the right verdict, confirmed.
- **Nothing is left**: no node agents, no processes here or in the cluster and so no network namespaces, no temporary
  files, no more descriptors than pools keep, no keys in Redis without an expiry but those that are meant to live
  (`tests/chaos/kept.py` has the list, and what bounds each); and nothing at all when the bot is asked to end."""


def _counts(result: dict[str, Any]) -> Counter[str]:
    return Counter(
        scenarios=1,
        broken=len(result["broken"]),
        **{name: value for name, value in result.items() if isinstance(value, int) and name != "seed"},
    )


def _row(name: str, counts: Counter[str]) -> str:
    return f"| {name} | {' | '.join(str(counts[each]) for each in ('scenarios', *COUNTED))} |"


def _summary(results: list[dict[str, Any]], total: Counter[str]) -> str:
    seeds = f"seeds {results[0]['seed']} to {results[-1]['seed']}"
    asked = f"{total['asked']} requests, of which {total['accepted']} were accepted"
    met = (
        f"{total['slack_troubled']} calls to Slack and {total['cluster_troubled']} requests to the cluster met trouble"
    )
    return f"{total['scenarios']} scenarios ({seeds}): {asked};\n{met}; {total['broken']} promises were broken."


def pages() -> dict[str, str]:
    """The page."""
    results = json.loads(RESULTS.read_text(encoding="utf-8"))["results"]
    by_fault, total = defaultdict[str, Counter[str]](Counter), Counter[str]()
    for result in results:
        total += _counts(result)
        for fault in result["faults"]:
            by_fault[fault] += _counts(result)
    rows = "\n".join(_row(name, counts) for name, counts in by_fault.items())
    return {PAGE: HEAD.format(invariants=INVARIANTS, summary=_summary(results, total), rows=rows)}
