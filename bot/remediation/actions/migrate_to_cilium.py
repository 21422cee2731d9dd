"""From flannel or Calico to Cilium, node by node: a second overlay beside the first, which every pod can go back to.

Cilium is installed with a range and a tunnel's port of its own and takes no node over. Then one node after the other is
handed to it: with its pods evicted first, tested in both directions with the nodes of the old CNI, and undone by itself
where it does not work. The old CNI is never removed: people do that when they trust the new one.
"""

from collections.abc import Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, controller_of, target_of
from bot.domain.plan import (
    AddressesWithin,
    CiliumFits,
    CiliumNodes,
    CiliumOn,
    NodesReady,
    Replace,
    RolledOut,
    Step,
    Target,
    TestPods,
    value_at,
)
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on
from bot.remediation.actions.install_cilium import (
    InstallInputs,
    Made,
    evidence,
    made_target,
    making,
    only,
    refuse_other_config,
    refuse_unfit,
    removing,
)
from bot.remediation.actions.restart_agents import daemon_set_target
from bot.remediation.cilium import beside, pods
from bot.remediation.cilium.migration import NODE_CONFIG, Migration, NodeMigration, check, in_order, node_config
from bot.remediation.cilium.preflight import Check
from bot.remediation.cilium.seen import Seen, agents, moving_pods
from bot.remediation.cilium.values import AGENT, CONFIG, NAMESPACE, TAKING_OVER, CiliumValues, beside_config

NO_REMOVAL = (
    "No plan takes a CNI away: with its CRDs go every pool, address and policy, and no way leads back. People do that, "
    "a day after the last node was migrated, in the order of docs/migrate-to-cilium.md."
)
MOST_NODES = 50
_NODE_S = 90.0
"""What a node takes besides its soak: a drain takes as long as its slowest pod."""


def migrate_to_cilium(values: CiliumValues, inputs: InstallInputs, *, soak_s: float) -> Draft:
    """The draft. Errors: `NotPlannedError`."""
    checks = beside.checks(values, inputs.seen)
    refuse_unmigratable(checks)
    seen, manifests = inputs.seen, inputs.rendered.manifests
    refuse_other_config(manifests, beside_config(values))
    nodes = _nodes(seen)
    names = tuple(str(one["metadata"]["name"]) for one in nodes)
    shared = Migration(
        agents=made_target(only(manifests, "DaemonSet", AGENT)),
        former=_former(seen),
        pod_range=values.pod_range,
        nodes=names,
        image=inputs.image,
        soak_s=soak_s,
    )
    each = [NodeMigration(shared, node, number) for number, node in enumerate(nodes, 1)]
    steps = list(_preparing(each, names))
    steps += _installing(values, inputs, shared)
    begins: dict[str, int] = {}
    for one in each:
        begins[one.name] = len(steps)
        steps += one.there()
    finalising = len(steps)
    steps += _finalising(values, inputs, each, names)
    return Draft(
        action="migrate-to-cilium",
        title=f"migrate {len(names)} nodes to Cilium {inputs.rendered.version}, one after the other",
        risk="r3",
        main=target_of(inputs.namespace, "Namespace", api_path("namespaces", name=NAMESPACE)),
        former_mark=mark_on(inputs.namespace),
        steps=tuple(steps),
        back=tuple(_back(steps, each, begins, finalising)),
        expected_s=120.0 + (_NODE_S + soak_s) * len(names),
        disruption=(
            f"Every pod of {len(names)} nodes is evicted once, as PodDisruptionBudgets allow, and gets an address of "
            f"{values.pod_range}. Until the end no NetworkPolicy is enforced for migrated pods."
        ),
        affected=tuple(f"node {name}" for name in names),
        warnings=tuple(_warnings(checks)),
        evidence=(f"order: {', '.join(names)}; soak {soak_s:.0f} s each", *evidence(values, inputs)),
        expects="not-worse",
    )


def refuse_unmigratable(checks: Sequence[Check]) -> None:
    """Nothing, where nothing speaks against it. Errors: `NotPlannedError` with all that does."""
    what = "The cluster is not migrated"
    refuse_unfit(checks, what)
    fits = beside.sizes(list(checks))
    if not fits.is_so:
        raise NotPlannedError(f"{what}. {fits.why}")


def _nodes(seen: Seen) -> list[Object]:
    """In their order. Errors: `NotPlannedError`."""
    moving: dict[str, int] = {}
    for pod in moving_pods(seen):
        node = str(value_at(pod, ("spec", "nodeName")) or "")
        moving[node] = moving.get(node, 0) + ((controller_of(pod) or {}).get("kind") != "DaemonSet")
    nodes = in_order(seen.nodes or (), moving)
    if len(nodes) > MOST_NODES:
        raise NotPlannedError(f"{len(nodes)} nodes are more than one plan migrates ({MOST_NODES}).")
    cordoned = [str(one["metadata"]["name"]) for one in nodes if value_at(one, ("spec", "unschedulable"))]
    if cordoned:
        raise NotPlannedError(f"{', '.join(cordoned)}: cordoned.", "Whoever did that decides first.")
    return nodes


def _former(seen: Seen) -> Target:
    """The DaemonSet of the CNI that there is; the checks have found that there is one."""
    found = agents(seen)
    if len(found) != 1:
        raise NotPlannedError(f"{len(found)} DaemonSets are agents of a CNI: one is expected.")
    ((_, daemon_set),) = found
    return daemon_set_target(daemon_set)


def _preparing(each: Sequence[NodeMigration], names: tuple[str, ...]) -> Iterator[Step]:
    """Test pods of the old CNI, and what they reach: with this everything afterwards is compared."""
    yield pods.test_namespace()
    *others, last = [one.with_test_pod(is_cilium=False) for one in each]
    yield from (replace(one, verify=()) for one in others)
    tested = TestPods(namespace=pods.TEST_NAMESPACE, nodes=names, is_cilium=False)
    yield replace(last, verify=(tested,), milestone="Prepared")
    yield check(names, "let every test pod reach every other one, before anything is changed", milestone="MTUReady")


def _installing(values: CiliumValues, inputs: InstallInputs, shared: Migration) -> Iterator[Step]:
    """Cilium is at work on every node, and no node is Cilium's."""
    fits = CiliumFits(values=msgspec.to_builtins(values), is_first=False)
    at_work = (
        CiliumNodes(nodes=shared.nodes, ranges=(values.pod_range,)),
        RolledOut(target=shared.agents),
        RolledOut(target=shared.former),
        NodesReady(),
        *(CiliumOn(node=name, manages=False, configures=False) for name in shared.nodes),
    )
    yield from making(inputs.rendered.manifests, fits, at_work)
    yield node_config()
    title = "let every test pod reach every other one, with Cilium beside the old CNI"
    yield check(shared.nodes, title, milestone="Installed")


def _finalising(
    values: CiliumValues, inputs: InstallInputs, each: Sequence[NodeMigration], names: tuple[str, ...]
) -> Iterator[Step]:
    """Cilium writes its configuration on every node, new ones too, and enforces policies; nothing is the old CNI's."""
    moved = AddressesWithin(pod_range=values.pod_range)
    yield Step(title="let Cilium enforce policies, and keep every node", do=_final_config(inputs), guards=(moved,))
    yield from (one.restarting("restart Cilium's agent on {}") for one in each)
    yield check(names, "let every test pod reach every other one, with Cilium alone", milestone="Finalised")
    ended = removing(pods.test_namespace(), undo_of=None)
    on_every_node = (CiliumOn(node=name, manages=True, configures=True) for name in names)
    yield replace(ended, verify=(*ended.verify, moved, *on_every_node))


def _final_config(inputs: InstallInputs) -> Replace:
    config = only(inputs.rendered.manifests, "ConfigMap", CONFIG)
    before: Mapping[str, str] = config["data"]
    after = {**before, **TAKING_OVER, "enable-policy": "default"}
    return Replace(target=made_target(config), field=("data",), before=dict(before), after=after)


def _back(
    steps: Sequence[Step], each: Sequence[NodeMigration], begins: Mapping[str, int], finalising: int
) -> Iterator[Step]:
    """Nodes in reverse order, while Cilium is there; when all are the old CNI's again and well, Cilium goes."""
    made = Made(steps)
    namespace = pods.test_namespace()
    yield replace(namespace, undo="not-needed", reverts=made.number("Namespace", pods.TEST_NAMESPACE))
    final = steps[finalising].do
    assert isinstance(final, Replace)
    phase = "let Cilium enforce no policies, and keep selected nodes only"
    yield Step(title=phase, do=final.reversed(), undo="not-needed", reverts=finalising, milestone="Finalised")
    for one in each:
        yield replace(one.restarting("restart Cilium's agent on {}"), reverts=finalising)
    for one in reversed(each):
        yield from one.back(begins[one.name])
    names = tuple(one.name for one in each)
    again = check(names, "let every test pod reach every other one, with the old CNI alone")
    yield replace(again, reverts=begins[names[0]])
    installed = made.removed("CiliumNodeConfig", NODE_CONFIG)
    yield replace(installed, milestone="Installed")
    yield from made.without_workloads()
    yield replace(made.removed("Namespace", pods.TEST_NAMESPACE), milestone="Prepared")
    yield from made.without_the_rest()


def _warnings(checks: Sequence[Check]) -> Iterator[str]:
    yield from (f"{one.sentence}." for one in checks if one.state in {"asks", "warns"})
    yield "Between pods of the two CNIs addresses are masqueraded: lists of allowed addresses do not match."
    yield (
        "Undoing it leaves Cilium's network devices, its CRDs and its CiliumNodes: reboot the nodes, and delete the "
        "CiliumNodes before another try."
    )
    yield "The old CNI stays installed. Take it away by hand a day later, in the order of docs/migrate-to-cilium.md."
