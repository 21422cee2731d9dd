"""What does following packets cost?  `python -m tests.benchmarks.trace [PODS] [RULES]`

One Calico-like node in network namespaces, optionally with a big iptables ruleset. The agent follows four series as a
program; printed are wall time from start to report, how much of it passed before it listened, processor time and the
report's size. A diagnosis runs all nodes' agents beside each other: what one takes is what the trace adds. Each node is
asked once (`tests/diagnosis/test_tracing.py`).
"""

import resource
import sys
import time

from tests.agent.nodes import calico_node, decode, why_no_namespaces
from tests.agent.trace_lab import CHAIN, flow, start
from tests.benchmarks.node_agent import kube_proxy_rules

RUNS = 5


def main() -> None:
    if why := why_no_namespaces():
        raise SystemExit(why)
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    rules = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    with calico_node([{"tcp": [7001], "udp": [7001]} for _ in range(pods)]) as node:
        node.nft(CHAIN.format(family="ip", hook="forward", rule="udp dport 7001 drop"))
        if rules:
            node.namespaces.run(node.number, "iptables-nft-restore", "--noflush", text=kube_proxy_rules(rules))
        print(f"{pods} pods, {rules} rules")
        for _ in range(RUNS):
            first, second = node.pods[:2]
            flows = [
                flow(first, second.ip, number=1),
                flow(first, second.ip, number=2, protocol="tcp", count=13),
                flow(second, first.ip, number=3, count=19),
                flow(second, first.ip, number=4, protocol="icmp", count=23),
            ]
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            began = time.perf_counter()
            process = start(node, *flows)
            listens_s = time.perf_counter() - began
            output, _ = process.communicate("go\n")
            wall_s = time.perf_counter() - began
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            trace = decode(output).trace
            assert trace
            cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            print(
                f"{trace.instrument}: {wall_s:.2f} s wall ({listens_s:.2f} s until it listened), "
                f"{cpu_s:.2f} s processor, {len(output) / 1e3:.0f} kB, {sum(one.count for one in trace.drops)} drops"
            )


if __name__ == "__main__":
    main()
