"""One packet's way through the packet filters of one namespace: which rules take or rewrite it, surely or perhaps.

The walk is that of the kernel: base chains of a hook in the order of their priorities, jumps, returns, accepts that end
one base chain, marks that one rule sets and another asks for. What is unknown is carried on: behind a rule that may
have accepted the packet nothing is sure any more; behind one that may have dropped it everything is as before, for a
packet that was dropped needs no second rule to be lost.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bot.agent.report import Firewall, FirewallChain, FirewallStep
from bot.probes.filters.matching import Packet, all_of, holds

ALL_BITS = 0xFFFFFFFF
REWRITING = frozenset({"dnat", "redirect", "snat", "notrack", "ttl"})
GOING_ON = frozenset({"notrack", "ttl"})
"""Behind these a packet meets the next rule of the chain; a translation is the end of the way through it."""
DEEPEST = 16
"""The kernel's own limit of jumps within jumps."""

chain_key = tuple[str, str, str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taking:
    """A rule (or a chain's policy) that takes packets away or rewrites them, with the hook that leads to it."""

    hook: FirewallChain
    step: FirewallStep | None = None
    """None: the policy of the hook's own chain."""

    @property
    def is_reject(self) -> bool:
        """Whether the sender learns of it."""
        return self.step is not None and self.step.verdict.startswith("reject")

    @property
    def kind(self) -> str:
        """The first word of what it does: drop, reject, dnat, notrack and so on."""
        return self.step.verdict.partition(" ")[0] if self.step else self.hook.policy

    @property
    def is_rewriting(self) -> bool:
        """Whether packets go on, as others than they came."""
        return self.kind in REWRITING

    @property
    def address(self) -> str:
        """What a translation writes into packets, "" where that is not fixed."""
        word = self.step.verdict.partition(" ")[2] if self.step and self.kind in {"dnat", "snat"} else ""
        ip, colon, port = word.rpartition(":")
        is_with_port = bool(colon) and port.isdecimal() and (word.startswith("[") or ":" not in ip)
        return (ip if is_with_port else word).strip("[]")

    @property
    def table(self) -> str:
        """Its table."""
        return self.hook.table

    @property
    def chain(self) -> str:
        """Its chain, which may not be that of the hook."""
        return self.step.chain if self.step else self.hook.chain


@dataclass(slots=True)
class Mark:
    """The packet mark, as far as it is known."""

    value: int = 0
    known: int = ALL_BITS

    def change(self, keep: int, flip: int, *, is_sure: bool) -> None:
        """What `mark set` does to it, or may do."""
        if is_sure:
            self.known |= ~keep & ALL_BITS
            self.value = (self.value & keep) ^ flip
        else:
            self.known &= keep & ~flip

    def has(self, text: str) -> bool | None:
        """Whether it is "value/mask" ("value" without a mask is all of it)."""
        word, _, mask_word = text.partition("/")
        try:
            value, mask = int(word, 0), int(mask_word, 0) if mask_word else ALL_BITS
        except ValueError:
            return None
        if (self.value ^ value) & mask & self.known:
            return False
        return True if mask & self.known == mask else None


@dataclass(slots=True)
class Course:
    """A packet on its way through one namespace: its mark, and what took it."""

    mark: Mark = field(default_factory=Mark)
    taken: dict[Taking, bool | None] = field(default_factory=dict[Taking, bool | None])
    """True: surely; None: perhaps."""
    unmarked: dict[Taking, bool | None] = field(default_factory=dict[Taking, bool | None])
    """Rules that take kube-proxy's mark off it, if it has one; likewise."""

    def take(self, taking: Taking, *, is_sure: bool) -> None:
        """Note a rule that takes the packet; a sure one stays sure."""
        self.taken[taking] = True if is_sure else self.taken.get(taking)


class Filters:
    """The packet filters of one namespace, as far as they lead to rules that are of interest."""

    def __init__(self, firewall: Firewall, is_wanted: Callable[[str, str], bool]) -> None:
        """`is_wanted`: whether a drop in this (table, chain) is asked for; hooks that lead to none are left out."""
        self._steps: dict[chain_key, list[FirewallStep]] = defaultdict(list)
        for step in firewall.steps or ():
            self._steps[_chain_of(step)].append(step)
        self._is_wanted = is_wanted
        self._hooks: dict[str, list[FirewallChain]] = defaultdict(list)
        unread = firewall.marks_elsewhere
        for chain in sorted(firewall.chains, key=lambda one: one.priority):
            if self._leads_to_wanted(chain):
                self._hooks[chain.hook.lower()].append(chain)
            elif chain.hook:
                unread |= self._marks_of(chain)
        self._unread_marks = unread

    @property
    def is_empty(self) -> bool:
        """Whether nothing of interest can take a packet here."""
        return not self._hooks

    def course(self) -> Course:
        """A new packet: its mark is 0, but for bits that rules out of sight may set."""
        return Course(Mark(known=ALL_BITS & ~self._unread_marks))

    def pass_hook(
        self, hook: str, families: Iterable[str], packet_at: Callable[[int], Packet], device: str, course: Course
    ) -> None:
        """Send the packet through the base chains of a hook. `packet_at`: the packet at a priority, for NAT has one."""
        for chain in self._hooks.get(hook, ()):
            if chain.family not in families or (chain.devices and device not in chain.devices):
                continue
            if hook in {"ingress", "egress"} and not chain.devices:
                continue
            _Walk(self._steps, chain, packet_at(chain.priority), course, self._is_wanted).run()

    def _leads_to_wanted(self, chain: FirewallChain) -> bool:
        if chain.policy == "drop" and self._is_wanted(chain.table, chain.chain):
            return True
        return any(step.text and self._is_wanted(step.table, step.chain) for step in self._reached(_key(chain)))

    def _marks_of(self, chain: FirewallChain) -> int:
        found = 0
        for step in self._reached(_key(chain)):
            if step.verdict.startswith("mark"):
                change = _mark_change(step.verdict)
                found |= ALL_BITS if change is None else (~change[0] & ALL_BITS) | change[1]
        return found

    def _reached(self, start: chain_key) -> Iterator[FirewallStep]:
        seen: set[chain_key] = set()
        waiting = [start]
        while waiting:
            key = waiting.pop()
            if key in seen:
                continue
            seen.add(key)
            for step in self._steps.get(key, ()):
                yield step
                if target := _target(step.verdict):
                    waiting.append((*key[:3], target))


@dataclass(slots=True)
class _Place:
    """Where in a chain a packet is."""

    alive: bool | None = True
    """None: it may have been accepted before; False: it is gone or accepted."""
    is_here: bool = True
    """False: it may have left the chain by a return or a goto."""
    is_over: bool = False

    def leave(self, *, alive: bool | None) -> None:
        """No further rule of this chain sees it."""
        self.alive, self.is_over = alive, True

    def come_back(self, *, inner: bool | None, is_goto: bool, is_certain: bool) -> None:
        """What became of it in another chain."""
        if not is_certain:
            self.alive = self.alive if inner is True else None
            self.is_here = self.is_here and not is_goto
            return
        self.alive = False if inner is False else all_of((self.alive, inner))
        self.is_over = inner is False or is_goto


class _Walk:
    """Through one base chain."""

    def __init__(
        self,
        steps: Mapping[chain_key, Sequence[FirewallStep]],
        hook: FirewallChain,
        packet: Packet,
        course: Course,
        is_wanted: Callable[[str, str], bool],
    ) -> None:
        self._steps = steps
        self._hook = hook
        self._packet = packet
        self._course = course
        self._is_wanted = is_wanted

    def run(self) -> None:
        """Note what takes the packet, the chain's policy included."""
        alive = self._chain(_key(self._hook), 0, is_sure=True)
        if alive is not False and self._hook.policy == "drop":
            self._take(None, is_sure=alive is True)

    def _chain(self, key: chain_key, depth: int, *, is_sure: bool) -> bool | None:
        """Whether a packet comes out of the chain: True, False (it is gone or accepted), None (it may be accepted).

        `is_sure`: whether the packet surely came to this chain.
        """
        at = _Place()
        for step in self._steps.get(key, ()) if depth <= DEEPEST else ():
            met = self._meets(step)
            if met is not False:
                self._obey(step, at, depth, is_certain=met is True and at.is_here, is_sure=is_sure)
            if at.is_over:
                break
        return at.alive

    def _obey(self, step: FirewallStep, at: "_Place", depth: int, *, is_certain: bool, is_sure: bool) -> None:
        """Do what the rule says. `is_certain`: the packet, if it came to this chain at all, is taken by this rule."""
        verdict = step.verdict
        is_surely_now = is_sure and is_certain and at.alive is True
        if verdict.startswith("mark"):
            keep, flip = _mark_change(verdict) or (0, ALL_BITS)
            is_known = is_surely_now and verdict != "mark"
            self._course.mark.change(keep, flip, is_sure=is_known)
            if step.text and self._is_wanted(step.table, step.chain):
                taking = Taking(hook=self._hook, step=step)
                self._course.unmarked[taking] = True if is_known else self._course.unmarked.get(taking)
        elif step.text:
            self._take(step, is_sure=is_surely_now and verdict != "queue")
            kind = verdict.partition(" ")[0]
            if is_certain and kind not in GOING_ON:
                at.leave(alive=False)
            elif kind in REWRITING - GOING_ON:
                at.alive = None
        elif target := _target(verdict):
            inner = self._chain((*_chain_of(step)[:3], target), depth + 1, is_sure=is_surely_now)
            at.come_back(inner=inner, is_goto=verdict.startswith("goto"), is_certain=is_certain)
        elif is_certain:
            at.leave(alive=False if verdict == "accept" else at.alive)
        elif verdict == "accept":
            at.alive = None
        else:
            at.is_here = False

    def _take(self, step: FirewallStep | None, *, is_sure: bool) -> None:
        taking = Taking(hook=self._hook, step=step)
        if self._is_wanted(taking.table, taking.chain):
            self._course.take(taking, is_sure=is_sure)

    def _meets(self, step: FirewallStep) -> bool | None:
        return all_of(
            self._has_mark(match.values, is_inverted=match.is_inverted)
            if match.fields == ("mark",)
            else holds(match, self._packet)
            for match in step.matches
        )

    def _has_mark(self, values: Sequence[str], *, is_inverted: bool) -> bool | None:
        outcomes = [self._course.mark.has(value) for value in values]
        found = True if True in outcomes else None if None in outcomes else False
        return found if found is None or not is_inverted else not found


def _target(verdict: str) -> str:
    kind, _, target = verdict.partition(" ")
    return target if kind in {"jump", "goto"} else ""


def _mark_change(verdict: str) -> tuple[int, int] | None:
    """(mask to keep, bits to flip) of "mark KEEP/FLIP"."""
    keep, slash, flip = verdict.removeprefix("mark").strip().partition("/")
    return (int(keep, 16), int(flip, 16)) if slash else None


def _chain_of(step: FirewallStep) -> chain_key:
    return step.backend, step.family, step.table, step.chain


def _key(chain: FirewallChain) -> chain_key:
    return chain.backend, chain.family, chain.table, chain.chain
