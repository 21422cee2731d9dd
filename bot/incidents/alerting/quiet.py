"""When all alerts of an incident have ended: verify, wait whether they come again, close."""

from typing import Literal

from bot.domain.incident import Incident

ALERTS_QUIET = "cni_alerts_quiet"
"""The type of the event that says that an incident without firing alerts is due. Slack has none of this name."""
QUIET_S = 300.0
"""So long after a healthy verdict nothing may fire again before the incident is closed."""
AGAIN_S = 900.0
"""So often an incident whose alerts ended, and which still is not healthy, is diagnosed again."""

Step = Literal["wait", "close", "verify"]


def next_step(incident: Incident, *, firing: int, now: float) -> Step:
    """What is due for an incident that knows of alerts."""
    if firing or not incident.is_open or incident.status == "diagnosing":
        return "wait"
    rested_s = now - incident.updated_at
    if incident.status == "healthy":
        return "close" if rested_s >= QUIET_S else "wait"
    return "verify" if rested_s >= AGAIN_S else "wait"
