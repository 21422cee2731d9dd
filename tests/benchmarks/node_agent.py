"""How long does the node agent take on a node with many pods?  `python -m tests.benchmarks.node_agent [PODS] [RULES]`

Builds one Calico-like node in network namespaces, optionally with a big iptables ruleset, runs the agent on it as a
program and prints wall time, processor time and the report's size.
"""

import resource
import sys
import time
from dataclasses import replace

from bot.agent.report import DnsQuestion, ServicePort, Target, Task
from tests.agent.nodes import ROUTER, Node, calico_node, decode, run_program, why_no_namespaces

SOURCES = 3
RUNS = 3


def main() -> None:
    if why := why_no_namespaces():
        raise SystemExit(why)
    pods = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    rules = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began = time.perf_counter()
    with calico_node([{"tcp": [8080]} for _ in range(pods)]) as node:
        if rules:
            node.namespaces.run(node.number, "iptables-nft-restore", "--noflush", text=kube_proxy_rules(rules))
        print(f"{pods} pods and {rules} rules built in {time.perf_counter() - began:.1f} s")
        task = task_for(node)
        for name, one in (("healthy", task), ("with timeouts", replace(task, targets=(*task.targets, SILENT)))):
            for _ in range(RUNS):
                measure(node, one, name)


SILENT = Target(purpose="dial", ip="10.42.63.1", name="nobody", port=80, protocol="tcp")


def measure(node: Node, task: Task, name: str) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = run_program(node, task)
    wall_s = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    report = decode(done.stdout)
    user_s, system_s = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    found = sum(pod.is_found for pod in report.pods)
    answered = sum(pod.gateway_arp is not None and None not in pod.gateway_arp.answers_ms for pod in report.pods)
    print(
        f"{name}: {wall_s:.2f} s wall ({report.took_s:.2f} s by its own count), {user_s:.2f} s user, "
        f"{system_s:.2f} s system; {found} pods found, {answered} gateways answered, {len(report.tests)} tests, "
        f"{len(done.stdout) / 1e6:.2f} MB, missing: {[one.what for one in report.missing]}"
    )


def task_for(node: Node) -> Task:
    """The matrix of a diagnosis: three sources, each against 40 targets, Services and names."""
    targets = [
        Target(purpose="own-node", ip=node.ip, name="node-1"),
        Target(purpose="outside", ip="198.51.100.10", name="outside"),
    ]
    targets += [
        Target(purpose="local-pod", ip=pod.ip, name=pod.name, port=8080, protocol="tcp") for pod in node.pods[:40]
    ]
    pods = tuple(replace(pod.task_pod, is_source=at < SOURCES) for at, pod in enumerate(node.pods))
    return node.task(
        *targets,
        pods=pods,
        mtu_targets=(targets[1],),
        questions=(DnsQuestion(server=ROUTER, name="yes.cluster.local", purpose="dns-service"),),
        services=tuple(
            ServicePort(name=f"shop/web-{at}:80", ip=f"10.43.1.{at}", port=80, protocol="tcp") for at in range(20)
        ),
    )


def kube_proxy_rules(count: int) -> str:
    """A nat table as kube-proxy writes it, four rules for each Service."""
    chains: list[str] = []
    lines: list[str] = []
    for at in range(count // 4):
        ip = f"10.43.{at // 250}.{at % 250}"
        service = f"KUBE-SVC-{at:08X}"
        chains += [f":KUBE-SVC-{at:08X} - [0:0]", f":KUBE-SEP-{at:08X} - [0:0]"]
        lines += [
            f'-A KUBE-SERVICES -d {ip}/32 -p tcp -m comment --comment "shop/{at} cluster IP" --dport 80 -j {service}',
            f"-A KUBE-SVC-{at:08X} -j KUBE-SEP-{at:08X}",
            f"-A KUBE-SEP-{at:08X} -s 10.42.0.10/32 -j MARK --set-xmark 0x4000/0x4000",
            f"-A KUBE-SEP-{at:08X} -p tcp -m tcp -j DNAT --to-destination 10.42.0.10:8080",
        ]
    head = ["*nat", ":PREROUTING ACCEPT [0:0]", ":KUBE-SERVICES - [0:0]", *chains, "-A PREROUTING -j KUBE-SERVICES"]
    return "\n".join([*head, *lines, "COMMIT", ""])


if __name__ == "__main__":
    main()
