"""Cilium as the first CNI of a cluster: what its chart renders is made object by object, and looked at on every node.

Helm renders and nothing more: the plan holds every object whole, so that people approve what is made and not a name of
a chart, and so that a process that takes over can look which objects are there. Helm takes the release over at its
next upgrade (`helm upgrade --install --take-ownership`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from bot.cluster.client.paths import api_path
from bot.cluster.writer import Object, target_of
from bot.domain.listing import and_more
from bot.domain.plan import (
    CiliumFits,
    CiliumNodes,
    Condition,
    Create,
    Gone,
    JobDone,
    NodesReady,
    PodsGone,
    Recheck,
    Remove,
    RolledOut,
    Step,
    Target,
    TestPods,
    value_at,
)
from bot.remediation.actions.draft import Draft, NotPlannedError, mark_on
from bot.remediation.cilium import fresh, pods
from bot.remediation.cilium.chart import Manifest, Rendered, group_of
from bot.remediation.cilium.preflight import Check
from bot.remediation.cilium.seen import Seen
from bot.remediation.cilium.values import (
    AGENT,
    AGENT_LABELS,
    CONF_DIRECTORY,
    CONFIG,
    NAMESPACE,
    OPERATOR,
    CiliumValues,
    expected_config,
)

ROLL_OUT_S = 600.0
"""Until every agent is Ready and every node has its block: images are pulled meanwhile."""
_TEST_S = 180.0
_GONE_S = 180.0
MOST_NODES = 100
GUIDE = "docs/remediation.md"
"""Where it stands what people do by hand where no plan does it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InstallInputs:
    """What was read for an installation."""

    seen: Seen
    rendered: Rendered
    namespace: Object
    """kube-system, which bears the plan's mark."""
    image: str
    """Of test pods and Jobs."""


def refuse_unfit(checks: Sequence[Check], what: str = "Cilium is not installed here") -> None:
    """Nothing, where nothing speaks against it. Errors: `NotPlannedError` with all that does."""
    stops = [one for one in checks if one.stops]
    if stops:
        problems = [f"{one.id}: {one.sentence.rstrip('.')}." for one in stops]
        instead = dict.fromkeys(one.instead for one in stops if one.instead)
        raise NotPlannedError(f"{what}. {' '.join(problems)}", f"{' '.join(instead)} See {GUIDE}.")


def install_cilium(values: CiliumValues, inputs: InstallInputs) -> Draft:
    """The draft. Errors: `NotPlannedError`."""
    checks = fresh.checks(values, inputs.seen)
    refuse_unfit(checks)
    nodes = fresh.waiting_nodes(inputs.seen)
    if len(nodes) > MOST_NODES:
        raise NotPlannedError(f"{len(nodes)} nodes are more than one plan tests ({MOST_NODES}).")
    manifests = inputs.rendered.manifests
    refuse_other_config(manifests, expected_config(values))
    main = target_of(inputs.namespace, "Namespace", api_path("namespaces", name=NAMESPACE))
    at_work = (
        CiliumNodes(nodes=nodes, ranges=(values.pod_range,)),
        RolledOut(target=made_target(only(manifests, "DaemonSet", AGENT))),
        NodesReady(),
    )
    fits = CiliumFits(values=msgspec.to_builtins(values))
    steps = (*making(manifests, fits, at_work), *_testing(nodes, inputs.image))
    return Draft(
        action="install-cilium",
        title=f"install Cilium {inputs.rendered.version} as the first CNI",
        risk="r3",
        main=main,
        former_mark=mark_on(inputs.namespace),
        steps=steps,
        back=tuple(_back(steps, nodes, inputs.image)),
        expected_s=60.0 + 10.0 * len(nodes),
        disruption=f"{len(nodes)} nodes have no CNI. They become Ready, and pods that wait start by themselves.",
        affected=tuple(f"node {name}" for name in nodes),
        warnings=tuple(warnings(checks)),
        evidence=tuple(evidence(values, inputs)),
        cures=nodes,
    )


def refuse_other_config(manifests: Sequence[Manifest], expected: Mapping[str, str | None]) -> None:
    """Nothing, where the chart renders what is expected of it. Errors: `NotPlannedError`.

    The chart takes values that it does not know without a word: only what it renders tells whether it took them.
    """
    config = only(manifests, "ConfigMap", CONFIG)
    data: Mapping[str, Any] = config.get("data") or {}
    wrong = [
        f"{key} is {_said(data.get(key))}, not {_said(wanted)}"
        for key, wanted in expected.items()
        if data.get(key) != wanted
    ]
    if wrong:
        raise NotPlannedError(f"The chart renders another configuration than was meant: {'; '.join(wrong)}.")
    template: Mapping[str, Any] = value_at(only(manifests, "DaemonSet", AGENT), ("spec", "template")) or {}
    labels: Mapping[str, str] = value_at(template, ("metadata", "labels")) or {}
    paths = {value_at(one, ("hostPath", "path")) for one in value_at(template, ("spec", "volumes")) or ()}
    if not value_at(template, ("spec", "hostNetwork")) or not AGENT_LABELS.items() <= labels.items():
        raise NotPlannedError(f"The chart's DaemonSet {AGENT} is not Cilium's agent as it is known here.")
    if CONF_DIRECTORY not in paths:
        raise NotPlannedError(f"The chart's agents do not see {CONF_DIRECTORY}, where the nodes look for a CNI.")
    only(manifests, "Deployment", OPERATOR)
    made = {one["metadata"]["name"] for one in manifests if one["kind"] == "Namespace"}
    strange = sorted({str(one["metadata"].get("namespace", "")) for one in manifests} - made - {NAMESPACE, ""})
    if strange:
        raise NotPlannedError(f"The chart renders objects for other namespaces: {and_more(strange, 3)}.")


def only(manifests: Sequence[Manifest], kind: str, name: str) -> Manifest:
    """The one object of that name. Errors: `NotPlannedError`."""
    found = [one for one in manifests if (one["kind"], one["metadata"]["name"]) == (kind, name)]
    if len(found) != 1 or found[0]["metadata"].get("namespace") != NAMESPACE:
        raise NotPlannedError(f"The chart renders no {kind} {NAMESPACE}/{name}.")
    return found[0]


def _said(value: str | None) -> str:
    return "not set" if value is None else repr(value)


def made_target(manifest: Manifest) -> Target:
    """An object of the rendering, before it exists."""
    kind, metadata = str(manifest["kind"]), manifest["metadata"]
    plural = f"{kind.lower()}s"
    namespace = str(metadata.get("namespace", ""))
    return pods.target_of_new(kind, plural, str(metadata["name"]), group=group_of(manifest), namespace=namespace)


def making(manifests: Sequence[Manifest], fits: CiliumFits, at_work: tuple[Condition, ...]) -> Iterator[Step]:
    """One step an object; after the last of them Cilium has to be at work."""
    operator = made_target(only(manifests, "Deployment", OPERATOR))
    for number, manifest in enumerate(manifests):
        target = made_target(manifest)
        is_last = number == len(manifests) - 1
        yield Step(
            title=f"make {target}",
            do=Create(target=target, manifest=manifest),
            guards=(fits,) if not number else (),
            verify=(RolledOut(target=operator), *at_work) if is_last else (),
            within_s=ROLL_OUT_S if is_last else 60.0,
        )


def _testing(nodes: tuple[str, ...], image: str) -> Iterator[Step]:
    """A pod on each node with an address of Cilium's, from each to each other; then they are gone again."""
    namespace = pods.test_namespace()
    yield namespace
    *others, last = pods.test_pods(nodes, image)
    yield from others
    yield msgspec.structs.replace(
        last, verify=(TestPods(namespace=pods.TEST_NAMESPACE, nodes=nodes),), within_s=_TEST_S
    )
    check = Recheck(expects="every-way", namespace=pods.TEST_NAMESPACE, nodes=nodes)
    yield Step(title="let every test pod reach every other one", do=check, undo="not-needed")
    yield removing(namespace, undo_of=None)


def removing(made: Step, *, undo_of: int | None) -> Step:
    """The step that takes away what another one makes."""
    assert isinstance(made.do, Create)
    target = made.do.target
    return Step(
        title=f"remove {target}",
        do=Remove(target=target, made_by=""),
        verify=(Gone(target=target),),
        within_s=_GONE_S,
        undo="not-needed",
        reverts=undo_of,
    )


def _back(steps: Sequence[Step], nodes: Sequence[str], image: str) -> Iterator[Step]:
    """Agents first, and only when they are gone their configuration: an agent writes it again within a millisecond."""
    made = Made(steps)
    agents = made.number("DaemonSet", AGENT)
    yield made.removed("Namespace", pods.TEST_NAMESPACE)
    yield from made.without_workloads()
    for number, node in enumerate(nodes, 1):
        job = pods.clearing_job(number, node, image)
        clearing = Step(
            title=f"delete Cilium's configuration from {node}",
            do=job,
            verify=(JobDone(target=job.target),),
            within_s=_GONE_S,
            undo="not-needed",
            reverts=agents,
        )
        yield clearing
        yield removing(clearing, undo_of=agents)
    yield from made.without_the_rest()


class Made:
    """What a draft's steps make, and the steps that take it away again."""

    def __init__(self, steps: Sequence[Step]) -> None:
        self._steps = {
            (step.do.target.kind, step.do.target.name): (number, step)
            for number, step in enumerate(steps)
            if isinstance(step.do, Create) and step.do.target.namespace != pods.TEST_NAMESPACE
        }

    def number(self, kind: str, name: str) -> int:
        """Of the step that makes it."""
        return self._steps[kind, name][0]

    def removed(self, kind: str, name: str) -> Step:
        """The step that takes it away."""
        number, step = self._steps.pop((kind, name))
        return removing(step, undo_of=number)

    def without_workloads(self) -> Iterator[Step]:
        """Operator and agents end."""
        yield self.removed("Deployment", OPERATOR)
        back = self.removed("DaemonSet", AGENT)
        gone = PodsGone(namespace=NAMESPACE, labels=dict(AGENT_LABELS))
        yield msgspec.structs.replace(back, verify=(*back.verify, gone))

    def without_the_rest(self) -> Iterator[Step]:
        """All that was made and is not taken away yet, the last first."""
        for number, step in sorted(self._steps.values(), key=lambda one: -one[0]):
            yield removing(step, undo_of=number)


def warnings(checks: Sequence[Check]) -> Iterator[str]:
    """What whoever approves must know."""
    yield from (f"{one.sentence}." for one in checks if one.state in {"asks", "warns"})
    yield (
        "Undoing it leaves Cilium's network devices, its CRDs and its CiliumNodes: reboot the nodes, and delete the "
        "CiliumNodes before another try."
    )
    yield "Helm does not know the release yet: its first upgrade takes it over with --take-ownership."


def evidence(values: CiliumValues, inputs: InstallInputs) -> Iterator[str]:
    """What is installed, with which values."""
    rendered = inputs.rendered
    yield f"chart cilium {rendered.version}, SHA-256 {rendered.sha256}, rendered by Helm {rendered.helm}"
    yield f"each node gets a /24 of {values.pod_range}; tunnel VXLAN on UDP {values.tunnel_port}; kube-proxy stays"
    images = sorted(
        {
            str(container.get("image"))
            for manifest in rendered.manifests
            for key in ("initContainers", "containers")
            for container in value_at(manifest, ("spec", "template", "spec", key)) or ()
        }
    )
    yield f"images: {', '.join(images)}"
