"""The mark of a plan on the object that it changes: other bots, and ours with a lost store, keep away from it."""

from datetime import UTC, datetime

from bot.domain.plan import NotMarked, Replace, Step, Target, value_at

MARK = "cnibot.io/plan"
FIELD = ("metadata", "annotations", MARK)


def mark_of(plan_id: str, until: float) -> str:
    """The annotation's value."""
    return f"{plan_id} until {datetime.fromtimestamp(until, UTC).isoformat(timespec='seconds')}"


def marking(target: Target, plan_id: str, until: float, former: str | None = None) -> Step:
    """The step that takes the object in hand; `former` is a mark that has run out."""
    do = Replace(target=target, field=FIELD, before=former, after=mark_of(plan_id, until))
    return Step(title=f"mark {target} as in the hands of this plan", do=do, guards=(NotMarked(target=target),))


def releasing(marked: Step) -> Step:
    """The step that takes the mark off again."""
    assert isinstance(marked.do, Replace)
    target = marked.do.target
    do = Replace(target=target, field=FIELD, before=marked.do.after, after=None)
    return Step(title=f"take the mark off {target}", do=do, undo="not-needed")


def holder(obj: object, now: float) -> str:
    """The plan that has the object in hand now; "" for none. A mark that cannot be read holds for ever."""
    value = value_at(obj, FIELD) if isinstance(obj, dict) else None  # pyright: ignore[reportUnknownArgumentType]
    if not isinstance(value, str):
        return ""
    plan_id, _, until = value.partition(" until ")
    try:
        ends = datetime.fromisoformat(until)
    except ValueError:
        return plan_id or "somebody"
    return plan_id if ends.tzinfo is None or ends.timestamp() > now else ""
