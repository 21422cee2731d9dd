"""Evidence of what real agents report about nodes of `tests.agent.nodes`."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec

from bot.agent.report import NodeReport, Target
from bot.probes.engine.evidence import Evidence
from tests.agent.nodes import Node
from tests.probes.build import FakeCluster


def evidence_of(nodes: Sequence[Node], *targets: Target, **changes: Any) -> Evidence:
    """What each node's agent saw and tested; pods are called shop/pod-0-on-1 (the first of node-1)."""
    cluster, reports = FakeCluster("flannel"), dict[str, NodeReport]()
    for at, node in enumerate(nodes, 1):
        name = f"node-{at}"
        cluster.node(name)
        pods = [replace(pod.task_pod, name=f"{pod.name}-on-{at}") for pod in node.pods]
        reports[name] = node.look(node.task(*targets, node=name, pods=tuple(pods), with_self_tests=True))
        for pod in pods:
            subject = cluster.pod(f"shop/{pod.name}", name, ip=pod.ip)
            made = cluster.pods[subject]
            metadata = msgspec.structs.replace(made.metadata, uid=pod.uid)
            cluster.pods[subject] = msgspec.structs.replace(made, metadata=metadata)
    return cluster.evidence(reports=reports, **changes)
