"""docs/reference/permissions.md: what each probe, rung and action needs, and what is lost without."""

from bot.app.permissions import parts
from bot.domain.access import Need
from bot.domain.permissions import Part

INTRO = """# Permissions

What each part asks of the Kubernetes API, and what is lost without. `cnibot doctor --permissions` prints the same for
your cluster, with what is allowed there. Why, and how to give less: [permissions](../permissions.md).

| part | needs | may be missing | without |
| --- | --- | --- | --- |
"""


def listed(needs: list[Need]) -> str:
    """Permissions in a cell."""
    return ", ".join(f"`{need}`" for need in dict.fromkeys(needs)) or "none"


def row(part: Part) -> str:
    """One part."""
    needed = [need for need in part.needs if not need.is_optional]
    optional = [need for need in part.needs if need.is_optional]
    return f"| {part.kind} {part.name} | {listed(needed)} | {listed(optional)} | {part.lost} |\n"


def pages() -> dict[str, str]:
    """The page."""
    return {"docs/reference/permissions.md": INTRO + "".join(map(row, parts("cnibot")))}
