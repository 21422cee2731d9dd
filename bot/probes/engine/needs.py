"""Permissions that several probes share, each declared where it is used."""

from bot.domain.access import Need

NODES = Need(verb="list", resource="nodes", why="to know each node's addresses, readiness and pod range")
PODS = Need(verb="list", resource="pods", why="to know which pods there are, on which node, with which address")

LOOK_AT_PODS: tuple[Need, ...] = (PODS, NODES)
"""What a probe needs that reads node reports: the objects its facts are about. How the reports are fetched (exec, node
agents) is the business of `bot.cluster`, which declares that itself."""
