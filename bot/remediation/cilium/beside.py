"""What speaks against bringing Cilium beside the CNI that there is: the nineteen checks, with such values."""

from bot.remediation.cilium.preflight import Check, preflight
from bot.remediation.cilium.seen import Seen
from bot.remediation.cilium.values import CiliumValues, beside_values
from bot.remediation.status import Holds

_SIZES = "P16"


def checks(values: CiliumValues, seen: Seen) -> list[Check]:
    """What every check came to, what blocks first."""
    return preflight(beside_values(values, len(seen.nodes or ())), seen)


def checks_of_objects(values: CiliumValues, seen: Seen) -> list[Check]:
    """Those that still speak against it by the API's objects alone; the nodes were looked at when the plan was made."""
    return [one for one in checks(values, seen) if one.state == "blocked"]


def sizes(found: list[Check]) -> Holds:
    """Whether packets of the present size pass through Cilium's tunnel: known to, not only not known to fail."""
    problems = [one for one in found if one.id == _SIZES and one.state != "ok"]
    why = f"{problems[0].id}: {problems[0].sentence.rstrip('.')}. {problems[0].instead}" if problems else ""
    return Holds(is_so=not problems, why=why)
