"""The facts that agent-logs declares."""

from bot.cluster.snapshot.agent_logs import LOG_NEED
from bot.probes.agent_logs.patterns import LOG_ERRORS
from bot.probes.engine.fact_spec import API, fact
from bot.probes.engine.needs import LOOK_AT_PODS

_LOOK = "crictl logs --since=30m $(crictl ps -q --name 'calico-node|cilium-agent|kube-flannel' | head -1)  # on <node>"
FACTS = (
    fact(
        "node.agent_errors",
        "list",
        "What the logs of the node's CNI agent and kube-proxy complain about, by class.",
        look=_LOOK,
        values=LOG_ERRORS,
        rungs=API,
    ),
    fact("node.agent_log", "list", "The newest line of each class, and how many there are.", look=_LOOK, rungs=API),
)
NEEDS = (*LOOK_AT_PODS, LOG_NEED)
