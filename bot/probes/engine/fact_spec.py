"""Facts declared in one line each."""

from bot.domain.facts import FactSpec, Rung, ValueType

API = (Rung.API, Rung.EXEC, Rung.CNI_AGENT, Rung.AGENT)
"""Seen on every rung: from API objects."""
NODE = (Rung.CNI_AGENT, Rung.AGENT)
"""Seen from a node's root namespace."""
POD = (Rung.EXEC, Rung.CNI_AGENT, Rung.AGENT)
"""Seen from inside a pod: the rung of the CNI's agent runs commands in pods, too."""


def fact(
    name: str,
    kind: ValueType,
    doc: str,
    *,
    look: str,
    values: tuple[str, ...] = (),
    rungs: tuple[Rung, ...] = (Rung.AGENT,),
    is_command: bool = False,
) -> FactSpec:
    """A fact; `doc` is one sentence, `look` how a person sees it."""
    return FactSpec(name=name, type=kind, doc=doc, values=values, rungs=rungs, look=look, is_command=is_command)
