"""How long the differential takes for many pods: `python -m tests.benchmarks.differential [PODS]`.

Every pod of every node has a silent gateway and is a source of failing Service flows, each with latencies and names of
its own, so that no two pods have equal evidence: the worst case for evaluating equal fact vectors once. Then the same
with equal evidence, which is the usual case.
"""

import sys
import time

from bot.causes.differential import differentiate
from bot.causes.loading import load_causes
from bot.domain.facts import CLUSTER, FactTable, Flow, Relations, node, pair, pod, service
from bot.domain.finding import Symptom, SymptomKind
from bot.probes.catalogue import FACTS
from bot.rules.source import data_directory
from tests.causes.cluster_facts import CLUSTER_FACTS, NODE, PAIR, POD, SERVICE, Facts, table

PODS_PER_NODE = 50
SERVICES = 20


def cluster(pods: int, *, equal: bool) -> tuple[FactTable, list[Symptom]]:
    """A cluster whose pods all have lost their gateway."""
    hosts = [node(f"node-{index}") for index in range(max(1, pods // PODS_PER_NODE))]
    values: Facts = {CLUSTER: dict(CLUSTER_FACTS)}
    values.update({host: {**NODE, "gateway_silent": "some"} for host in hosts})
    values.update({pair(a.name, b.name): dict(PAIR) for a in hosts for b in hosts if a != b})
    node_of = {pod("shop", f"pod-{index}"): hosts[index % len(hosts)] for index in range(pods)}
    for index, one in enumerate(node_of):
        own = 0 if equal else index
        values[one] = {
            **POD,
            "gateway_arp": "silent",
            "host_proxy_arp": False,
            "age_s": 4_000.0 + own,
            "own_dev": f"cali{own}",
            "host_otherhost_delta": own,
            "gateway_arp_max_ms": own / 10,
        }
    services = [service("shop", f"service-{index}") for index in range(SERVICES)]
    values.update({one: {**SERVICE, "reach": "timeout"} for one in services})
    flows = tuple(Flow(source=one, source_node=host) for one, host in node_of.items())
    symptoms = [Symptom(kind=SymptomKind.GATEWAY_SILENT, subject=one, hop="gateway") for one in node_of]
    symptoms += [
        Symptom(kind=SymptomKind.SERVICE_UNREACHABLE, subject=one, hop="service", flows=flows) for one in services
    ]
    return FactTable(table(values).values, relations=Relations(node_of_pod=node_of)), symptoms


def main(pods: int) -> None:
    """Print loading and evaluation times."""
    begun = time.perf_counter()
    causes = load_causes([data_directory() / "causes"], FACTS.values())
    print(f"{len(causes)} causes loaded in {time.perf_counter() - begun:.2f} s")
    for equal in (False, True):
        facts, symptoms = cluster(pods, equal=equal)
        begun, used = time.perf_counter(), time.process_time()
        found = differentiate(causes, facts, symptoms)
        took, cpu = time.perf_counter() - begun, time.process_time() - used
        kind = "equal" if equal else "all different"
        leading = found.selected[0]
        print(
            f"{pods} pods, {len(symptoms)} symptoms, evidence {kind}: {took:.2f} s (CPU {cpu:.2f} s),"
            f" {leading.id} {leading.confidence} at {len(leading.subjects)} pods"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
