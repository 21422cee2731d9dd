"""Every fault, by family."""

from __future__ import annotations

from tests.chaos.faults import agent, bot, clock, cluster, slack, store

FAULTS = (*slack.FAULTS, *store.FAULTS, *cluster.FAULTS, *agent.FAULTS, *clock.FAULTS, *bot.FAULTS)
