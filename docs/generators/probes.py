"""docs/reference/probes.md: every probe with its question, its needs and its facts, from the catalogue."""

from bot.domain.facts import FactSpec
from bot.probes.catalogue import PROBES
from bot.probes.engine.probe import Probe

INTRO = """# Probes and their facts

A probe asks one question. It fills facts, each observed or explicitly not; causes and playbooks read them by the names
below. "Seen from" names the rungs of the access ladder that can observe a fact; "by hand" is how a person would.

"""


def cell(text: str) -> str:
    """Text that cannot end a table's cell early."""
    return text.replace("|", "\\|").replace("\n", " ")


def fact_row(fact: FactSpec) -> str:
    """One line of the table."""
    kind = fact.type + (f": {', '.join(fact.values)}" if fact.values else "")
    rungs = ", ".join(str(rung) for rung in fact.rungs)
    look = f"`{cell(fact.look)}`" if fact.look else ""
    return f"| `{fact.name}` | {cell(kind)} | {cell(fact.doc)} | {rungs} | {look} |"


def section(probe: Probe) -> str:
    """One probe."""
    lines = [f"## {probe.name}", "", probe.question, ""]
    if probe.needs:
        needs = dict.fromkeys(f"`{need}`{' (optional)' if need.is_optional else ''}" for need in probe.needs)
        lines += [f"Needs: {', '.join(needs)}.", ""]
    if probe.facts:
        lines += ["| fact | type | meaning | seen from | by hand |", "| --- | --- | --- | --- | --- |"]
        lines += [fact_row(fact) for fact in probe.facts]
        lines.append("")
    return "\n".join(lines)


def pages() -> dict[str, str]:
    """The page."""
    return {"docs/reference/probes.md": INTRO + "\n".join(map(section, PROBES))}
