"""Whether a pod reaches itself, by what its processes need: 127.0.0.1, ::1, localhost, its own address.

All of that passes the device lo of the pod, and none of it ever leaves the pod: sidecars and what they serve, probes
that kubelet runs as commands in it, databases that their own tools ask. A port of the pod that is not reached over lo
breaks nothing unless somebody in the pod calls there.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from bot.agent.report import Link, Listener, NetnsState, SelfTest
from bot.cluster.objects import Container, Pod
from bot.cluster.snapshot.dialled import addresses_here, dialled_itself
from bot.domain.facts import Subject
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.once import once_per_evidence
from bot.probes.services.rules import is_loopback
from bot.probes.shared.pod_views import PodView, observable_pods, sysctl

LISTED = 10
IPV4, IPV6 = "127.0.0.1", "::1"
_NOTHING_LEARNT = frozenset({"skipped", "ENOBUFS"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SelfNeed:
    """An address of the pod itself that one of its processes dials."""

    ip: str
    """"localhost" where it is dialled by that name, "" where any would do."""
    port: int | None
    why: str
    """In words that follow the pod."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Itself:
    """One pod and the ways to itself."""

    lo: str | None
    """up, down or missing; None: not read."""
    lacks: tuple[str, ...] = ()
    """The loopback addresses that lo, though up, does not have."""
    failing: tuple[SelfTest, ...] = ()
    answering: tuple[SelfTest, ...] = ()
    is_tried: bool = False
    broken: tuple[str, ...] = ()
    """The needed ways that fail, each with why it is needed."""


@once_per_evidence
def itself(evidence: Evidence) -> Mapping[Subject, Itself]:
    """By pod whose own namespace was read."""
    return {view.subject: _of(view) for view in observable_pods(evidence) if view.state is not None}


def named_localhost(pod: Pod) -> str:
    """What of a pod's configuration names localhost, in words that follow the pod; "" where nothing does."""
    return next((need.why for need in _configured(pod) if need.ip == "localhost"), "")


def _of(view: PodView) -> Itself:
    state, tests = view.state, view.seen.self_tests if view.seen else None
    assert state is not None
    lo = _lo(state)
    found = Itself(
        lo=lo,
        lacks=tuple(_lacking(view, state)) if lo == "up" else (),
        failing=tuple(one for one in tests or () if _fails(one, state) is True),
        answering=tuple(one for one in tests or () if _fails(one, state) is False),
        is_tried=tests is not None,
    )
    broken = (f"{need.why} ({how})" for need in _needs(view, state, found) if (how := _how(need, state, found)))
    return replace(found, broken=tuple(dict.fromkeys(broken))[:LISTED])


# What the pod's namespace shows


def _lo(state: NetnsState) -> str | None:
    if not state.links:
        return None
    link: Link | None = next((one for one in state.links if one.name == "lo"), None)
    return "missing" if link is None else "up" if link.is_up else "down"


def _lacking(view: PodView, state: NetnsState) -> Iterator[str]:
    """Of IPv6 only where the kernel has it on for lo: without it there is no ::1 anywhere, and nobody misses it."""
    if not view.has_read("addresses"):
        return
    held = {one.ip for one in state.addresses}
    if not any(ip.startswith("127.") for ip in held):
        yield IPV4
    if has_ipv6(state) and IPV6 not in held:
        yield IPV6


def has_ipv6(state: NetnsState) -> bool:
    """Whether IPv6 is on for lo; no where that was not read."""
    return sysctl(state, "ipv6.conf.lo.disable_ipv6") == 0


def _fails(test: SelfTest, state: NetnsState) -> bool | None:
    """Whether packets do not pass; None where it says nothing of that. Who refuses or resets was reached."""
    if test.outcome in _NOTHING_LEARNT or (test.ip == IPV6 and not has_ipv6(state)):
        return None
    if test.outcome == "EADDRNOTAVAIL" and ":" not in test.ip:
        return None  # no port is free to call from
    return not (test.outcome in {"ok", "reset"} or (test.outcome == "ECONNREFUSED" and not test.icmp))


# What its processes need


def _needs(view: PodView, state: NetnsState, found: Itself) -> Iterator[SelfNeed]:
    yield from _configured(view.pod)
    yield from _dialling(view, state)
    if found.lo in {"down", "missing"} or found.lacks or found.failing:
        yield from _asked_by_command(view.pod)


def _configured(pod: Pod) -> Iterator[SelfNeed]:
    for container in pod.spec.containers:
        for each in dialled_itself(container):
            yield SelfNeed(ip=each.host, port=each.port, why=each.named)
        for kind, words in _commands(container):
            for each in (each for word in words for each in addresses_here(word)):
                yield SelfNeed(ip=each.host, port=each.port, why=f"its {kind} probe, a command in it, asks {each.text}")


def _commands(container: Container) -> Iterator[tuple[str, Sequence[str]]]:
    for kind, probe in (("readiness", container.readiness_probe), ("liveness", container.liveness_probe)):
        if probe and probe.exec:
            yield kind, probe.exec.command


def _dialling(view: PodView, state: NetnsState) -> Iterator[SelfNeed]:
    """What waits in vain for an answer of the pod's own."""
    own = view.pod.status.pod_ip
    for each in state.connections or ():
        if (is_loopback(each.ip) or each.ip == own) and (each.state == "syn-sent" or each.is_stalled):
            yield SelfNeed(ip=each.ip, port=each.port, why=f"it dials {each.ip}:{each.port} without an answer")


def _asked_by_command(pod: Pod) -> Iterator[SelfNeed]:
    """Commands that do not say whom they ask, of containers that are not ready by them."""
    unready = {status.name for status in pod.status.container_statuses if not status.ready}
    for container in pod.spec.containers:
        probe = container.readiness_probe
        if container.name in unready and probe and probe.exec and not probe.exec.command:
            yield SelfNeed(ip="", port=None, why="its readiness is decided by a command in it, which fails")


def _how(need: SelfNeed, state: NetnsState, found: Itself) -> str:
    """How the needed way fails; "" where it does not, or nobody serves it."""
    if need.port and not _serves(state.listeners, need.port):
        return ""
    if found.lo in {"down", "missing"}:
        return f"lo is {found.lo}"
    ways = {"localhost": (IPV4, IPV6), "": ()}.get(need.ip, (need.ip,))
    answered = [one for one in found.answering if one.ip in ways and one.port == need.port]
    failed = [one for one in found.failing if (not ways or one.ip in ways) and (one.port == need.port or not need.port)]
    lacking = [ip for ip in found.lacks if ip in ways]
    if answered or (need.ip == "localhost" and not lacking and not failed):
        return ""
    if lacking and (need.ip != "localhost" or IPV4 in lacking):
        return f"lo has no address {lacking[0]}"
    if failed and (need.port or not found.answering):
        return (
            f"{end_in_words(failed[0])} {_WORDS.get(failed[0].outcome, f'fails ({failed[0].outcome})')} inside the pod"
        )
    return ""


_WORDS = {"timeout": "gets no answer", "ECONNREFUSED": "is refused by a rule", "EPERM": "is denied by a rule"}


def end_in_words(test: SelfTest) -> str:
    """The end that was tried, as one types it."""
    return f"[{test.ip}]:{test.port}" if ":" in test.ip else f"{test.ip}:{test.port}"


def _serves(listeners: tuple[Listener, ...] | None, port: int) -> bool:
    """Whether somebody in the pod listens there: what nobody serves is no way that lo could break."""
    return listeners is not None and any(one.port == port for one in listeners)
