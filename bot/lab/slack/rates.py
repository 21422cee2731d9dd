"""Slack's rate limits: one post a second and channel with short bursts, tiers of calls a minute for the rest."""

from __future__ import annotations

import math

from bot.lab.slack.model import App
from bot.lab.slack.web_api import Method
from bot.lab.slack.workspace_state import WorkspaceState

_BURST = 4
_POSTS = {"chat.postMessage", "files.completeUploadExternal"}
_TIER_BURST = 1.5
"""Slack tolerates occasional bursts above a tier."""


class Rates:
    """Token buckets; only with `SlackOptions(strict_rates=True)`."""

    def __init__(self, state: WorkspaceState) -> None:
        self._state = state
        self._buckets: dict[tuple[str, str, str], tuple[float, float]] = {}

    def exceeded(self, app: App, method: Method, channel: str) -> int | None:
        """Retry-After when this call is one too many; None: it counts, and may pass."""
        if not self._state.options.strict_rates:
            return None
        if method.name in _POSTS and channel:
            return self._take((app.id, "post", channel), per_s=1.0, most=_BURST)
        if method.per_minute:
            most = max(1.0, method.per_minute * _TIER_BURST)
            return self._take((app.id, method.name, ""), per_s=method.per_minute / 60, most=most)
        return None

    def _take(self, key: tuple[str, str, str], *, per_s: float, most: float) -> int | None:
        now = self._state.clock()
        held, at = self._buckets.get(key, (most, now))
        held = min(most, held + (now - at) * per_s)
        if held < 1:
            self._buckets[key] = (held, now)
            return math.ceil((1 - held) / per_s)
        self._buckets[key] = (held - 1, now)
        return None
