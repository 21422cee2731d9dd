"""A rule as an on-call engineer looks it up: its place, its hook, whose it is, and its text."""

from bot.agent.report import FirewallChain, FirewallChange, NetfilterProgram
from bot.domain.listing import and_more
from bot.probes.filters.held import Held
from bot.probes.filters.rule_owners import author_of
from bot.probes.filters.walking import Taking
from bot.probes.shared.programs import author_of_program

TEXT_LIMIT = 160
_WAYS = {
    frozenset({"request"}): ", which takes requests only",
    frozenset({"reply"}): ", which takes replies only",
    frozenset({"request", "reply"}): ", which takes requests and replies",
}
_REWRITES = {
    "dnat": "sends them elsewhere",
    "redirect": "sends them to a local port where nobody listens",
    "snat": "gives them a source to which no answer finds back",
    "notrack": "keeps them from being translated",
    "ttl": "lets them die a few hops on",
}


def loss_in_words(held: Held) -> str:
    """The rule, and which packets of the flows that fail it takes."""
    if held.taking.is_rewriting:
        return f"{rule_in_words(held.taking)}, which {_REWRITES[held.taking.kind]}"
    return rule_in_words(held.taking) + _WAYS.get(frozenset(held.directions), "")


def unmarking_in_words(taking: Taking) -> str:
    """A rule that takes kube-proxy's mark off connections, which then get no answer."""
    return f"{rule_in_words(taking)}, which takes off kube-proxy's mark 0x4000: they are not masqueraded"


def is_kube_proxys(taking: Taking) -> bool:
    """Whether kube-proxy wrote the rule."""
    return author_of(taking.table, taking.chain) == "kube-proxy"


def rule_in_words(taking: Taking) -> str:
    """In one line: `ip/guard/c_fwd (hook forward, priority 100, of unknown origin): oifname "cali1" drop`."""
    hook = taking.hook
    text = taking.step.text if taking.step else f"policy {hook.policy}"
    return _in_words(hook, taking.chain, text)


def change_in_words(change: FirewallChange) -> str:
    """The same of a rule that changes packets."""
    return _in_words(change, change.chain, change.text)


def program_in_words(program: NetfilterProgram) -> str:
    """A BPF program on a hook, which is no rule."""
    who = author_of_program(program.name)
    name = f"netfilter program {program.name or '(name not known)'} id {program.number}"
    place = f"hook {program.hook}, priority {program.priority}, {f'of {who}' if who else 'of unknown origin'}"
    return f"{name} ({place}, in a network namespace that the kernel does not tell)"


def _in_words(hook: FirewallChain | FirewallChange, chain: str, text: str) -> str:
    on = f" on {and_more(hook.devices, 3)}" if hook.devices else ""
    who = author_of(hook.table, chain)
    text = " ".join(text.split())
    where = f"hook {hook.hook.lower()}{on}, priority {hook.priority}, {f'of {who}' if who else 'of unknown origin'}"
    if len(text) > TEXT_LIMIT:
        text = text[: TEXT_LIMIT - 1] + "…"
    return f"{hook.family}/{hook.table}/{chain} ({where}): {text}"
