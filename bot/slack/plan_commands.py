"""`plan …`, `plans`, `stop`, `resume`: what somebody wants changed, from the words that they typed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bot.domain.errors import bounded
from bot.remediation.actions.migrate_to_cilium import NO_REMOVAL
from bot.remediation.cilium.values import BESIDE_PORT, CiliumValues
from bot.remediation.requests import (
    MOST_SOAK_S,
    SOAK_S,
    Cordon,
    Drain,
    InstallCilium,
    MigrateToCilium,
    PlanRequest,
    RecreatePod,
    RestartAgents,
    RollBack,
    Scale,
    Selector,
    TargetPort,
    Uncordon,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanCommand:
    """Propose a change of a cluster, for somebody else to approve."""

    words: tuple[str, ...]
    """What comes after "plan", read by `wanted`."""
    cluster: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ListPlans:
    """The newest plans, and what became of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StopPlans:
    """The kill switch: no plan begins, and what runs turns back."""

    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResumePlans:
    """The end of that."""


PlansCommand = PlanCommand | ListPlans | StopPlans | ResumePlans


def plan(words: Sequence[str]) -> PlanCommand:
    """The command from the words after "plan"; what they ask for is read later, by `wanted`."""
    if len(words) > 2 and words[-2].lower() in {"cluster", "--cluster"}:
        return PlanCommand(words=tuple(words[:-2]), cluster=words[-1])
    return PlanCommand(words=tuple(words))


def stop(words: Sequence[str]) -> StopPlans:
    """The command from the words after "stop"."""
    return StopPlans(reason=" ".join(words))


def spelled(command: PlansCommand) -> str:
    """How it is typed, without `/cni`."""
    match command:
        case PlanCommand(words=words, cluster=cluster):
            return " ".join(("plan", *words)) + (f" cluster {cluster}" if cluster else "")
        case StopPlans(reason=reason):
            return f"stop {reason}".strip()
        case ListPlans():
            return "plans"
        case ResumePlans():
            return "resume"


USAGES: Mapping[str, str] = {
    "fix": "plan fix for NAMESPACE",
    "restart-agents": "plan restart-agents NODE … for NAMESPACE",
    "roll-back": "plan roll-back [REVISION] for NAMESPACE",
    "cordon": "plan cordon NODE for NAMESPACE",
    "uncordon": "plan uncordon NODE for NAMESPACE",
    "drain": "plan drain NODE for NAMESPACE",
    "recreate-pod": "plan recreate-pod NAMESPACE/POD",
    "target-port": "plan target-port NAMESPACE/SERVICE PORT",
    "selector": "plan selector NAMESPACE/SERVICE KEY=VALUE …",
    "scale": "plan scale NAMESPACE/DEPLOYMENT NUMBER",
    "install-cilium": "plan install-cilium POD_RANGE [api HOST:PORT] [for NAMESPACE]",
    "migrate-to-cilium": "plan migrate-to-cilium POD_RANGE [api HOST:PORT] [soak SECONDS] [for NAMESPACE]",
}
"""How each is typed, without `/cni`."""


NEVER: Mapping[str, str] = {"remove-cni": NO_REMOVAL}
"""What no plan does, and why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What is asked for, and the namespace whose diagnosis justifies it."""

    request: PlanRequest | None
    """None: what the newest verdict leads to."""
    namespace: str


def wanted(words: Sequence[str]) -> Wanted | str:
    """What the words ask for; a sentence where they do not."""
    if not words:
        return "What is to be planned? " + " · ".join(f"`{usage}`" for usage in USAGES.values())
    kind, rest = words[0].lower(), list(words[1:])
    if kind in NEVER:
        return NEVER[kind]
    read = _READERS.get(kind)
    if read is None:
        return f"There is no plan {bounded(kind, 40)!r}. There are: {', '.join(USAGES)}."
    try:
        return read(rest)
    except ValueError:
        return f"Type `{USAGES[kind]}`."


def _for(words: list[str]) -> tuple[list[str], str]:
    """The words before "for", and the namespace after it."""
    *before, word, namespace = words
    if word.lower() != "for":
        raise ValueError(words)
    return before, namespace.lower()


def _fix(words: list[str]) -> Wanted:
    nothing, namespace = _for(words)
    if nothing:
        raise ValueError(words)
    return Wanted(request=None, namespace=namespace)


def _restart(words: list[str]) -> Wanted:
    nodes, namespace = _for(words)
    if not nodes:
        raise ValueError(words)
    return Wanted(request=RestartAgents(nodes=tuple(nodes)), namespace=namespace)


def _roll_back(words: list[str]) -> Wanted:
    revision, namespace = _for(words)
    (named,) = revision or [""]
    return Wanted(request=RollBack(revision=named), namespace=namespace)


def _of_node(kind: type[Cordon | Uncordon | Drain]) -> Callable[[list[str]], Wanted]:
    def read(words: list[str]) -> Wanted:
        (node,), namespace = _for(words)
        return Wanted(request=kind(node=node), namespace=namespace)

    return read


def _object(word: str) -> tuple[str, str]:
    namespace, name = word.split("/")
    if not (namespace and name):
        raise ValueError(word)
    return namespace.lower(), name


def _recreate(words: list[str]) -> Wanted:
    (named,) = words
    namespace, pod = _object(named)
    return Wanted(request=RecreatePod(namespace=namespace, pod=pod), namespace=namespace)


def _target_port(words: list[str]) -> Wanted:
    named, to = words
    namespace, service = _object(named)
    return Wanted(request=TargetPort(namespace=namespace, service=service, to=to), namespace=namespace)


def _selector(words: list[str]) -> Wanted:
    named, first, *more = words
    namespace, service = _object(named)
    labels: dict[str, str] = {}
    for word in (first, *more):
        key, value = word.split("=")
        labels[key] = value
    return Wanted(request=Selector(namespace=namespace, service=service, labels=labels), namespace=namespace)


def _scale(words: list[str]) -> Wanted:
    named, number = words
    namespace, deployment = _object(named)
    return Wanted(request=Scale(namespace=namespace, deployment=deployment, replicas=int(number)), namespace=namespace)


def _install_cilium(words: list[str]) -> Wanted:
    pod_range, options = _of_range(words, "api", "for")
    values = CiliumValues(pod_range=pod_range, api_server=options.get("api", ""))
    return Wanted(request=InstallCilium(values=values), namespace=options.get("for", "kube-system").lower())


def _migrate(words: list[str]) -> Wanted:
    pod_range, options = _of_range(words, "api", "soak", "for")
    values = CiliumValues(pod_range=pod_range, tunnel_port=BESIDE_PORT, api_server=options.get("api", ""))
    soak_s = float(options.get("soak", SOAK_S))
    if not 0 <= soak_s <= MOST_SOAK_S:
        raise ValueError(words)
    request = MigrateToCilium(values=values, soak_s=soak_s)
    return Wanted(request=request, namespace=options.get("for", "kube-system").lower())


def _of_range(words: list[str], *known: str) -> tuple[str, dict[str, str]]:
    """A range of addresses and the options after it: words in pairs."""
    pod_range, *rest = words
    options = dict(zip(map(str.lower, rest[::2]), rest[1::2], strict=True))
    if not options.keys() <= set(known):
        raise ValueError(words)
    return pod_range, options


_READERS: Mapping[str, Callable[[list[str]], Wanted]] = {
    "fix": _fix,
    "restart-agents": _restart,
    "roll-back": _roll_back,
    "cordon": _of_node(Cordon),
    "uncordon": _of_node(Uncordon),
    "drain": _of_node(Drain),
    "recreate-pod": _recreate,
    "target-port": _target_port,
    "selector": _selector,
    "scale": _scale,
    "install-cilium": _install_cilium,
    "migrate-to-cilium": _migrate,
}
