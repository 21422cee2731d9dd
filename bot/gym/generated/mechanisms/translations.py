"""Rules that rewrite packets instead of dropping them: another target, another source, no translation, too few hops."""

from dataclasses import dataclass

from bot.gym.generated.draw import Draft, Draw, mechanism
from bot.gym.generated.scenario import Selector, Step, Target, Truth

CAUSE = "foreign-rule-rewrites-packets"
_NEVER_LISTENED = 1
_BEFORE_KUBE_PROXY = (-150, -120, -110)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Match:
    text: str
    selector: Selector


def _matches(draw: Draw) -> _Match:
    """Which of the flow's requests, as its own node sees them before they are translated."""
    return draw.one(
        [
            _Match(text="ip saddr $SRC_IP ip daddr $SVC_IP tcp dport $PORT", selector="pod and port"),
            _Match(text="ip daddr $SVC_IP tcp dport $PORT", selector="port"),
            _Match(text="tcp dport $PORT", selector="port"),
            _Match(text="ip saddr $SRC_IP tcp dport $PORT", selector="pod and port"),
        ]
    )


def _draft(draw: Draw, on: Target, base: str, rule: str, says: str, selector: Selector) -> Draft:
    name, chain = draw.name(), draw.one(["pre", "c_nat", "rewrite"])
    text = f"table ip {name} {{ chain {chain} {{ type {base}; policy accept; {rule}; }}; }}"
    in_pod = on.endswith("pod")
    return Draft(
        place="source pod" if in_pod else "source node",
        selector=selector,
        scope="pod" if in_pod or "pod" in selector else "node",
        says=says,
        steps=(Step(on=on, do=f"nft '{text}'", undo=f"nft delete table ip {name}"),),
        truth=Truth(
            causes=("pod-firewall",) if in_pod else (CAUSE,), hops=("pod",) if in_pod else ("node",), words=(name,)
        ),
    )


@mechanism("foreign-target", "translation", weight=4)
def foreign_target(draw: Draw) -> Draft:
    """A DNAT of a hostPort, a proxy or a leftover takes what is meant for the Service, to where nobody answers."""
    match = _matches(draw)
    where = draw.one([f"$OTHER_IP:{_NEVER_LISTENED}", "192.0.2.77", f"$OTHER_NODE_IP:{_NEVER_LISTENED}"])
    base = f"nat hook prerouting priority {draw.one(_BEFORE_KUBE_PROXY)}"
    count = "counter " if draw.maybe() else ""
    rule = f"{match.text} {count}dnat to {where}"
    return _draft(draw, "src-node", base, rule, f"{match.text} is sent on to {where}", match.selector)


@mechanism("untracked", "translation", weight=2)
def untracked(draw: Draw) -> Draft:
    """Connection tracking is off for the port, so nothing translates the Service's address."""
    match = _matches(draw)
    base = f"filter hook prerouting priority {draw.one([-300, -290])}"
    return _draft(draw, "src-node", base, f"{match.text} notrack", f"{match.text} is not tracked", match.selector)


@mechanism("few-hops", "translation", weight=2)
def few_hops(draw: Draw) -> Draft:
    """A rule that hides routers sets a time to live that ends at the next one."""
    match = _matches(draw)
    base = f"filter hook prerouting priority {draw.one([-150, -160])}"
    return _draft(draw, "src-node", base, f"{match.text} ip ttl set 1", f"{match.text} lives for 1 hop", match.selector)


@mechanism("foreign-source", "translation", weight=2, is_remote=True)
def foreign_source(draw: Draw) -> Draft:
    """A SNAT, of a VPN for example, gives packets a source to which no answer finds back."""
    source = draw.one(["192.168.66.1", "100.64.9.9"])
    match = draw.one([_Match(text="ip saddr $SRC_IP", selector="pod"), _Match(text="tcp dport $PORT", selector="port")])
    base = f"nat hook postrouting priority {draw.one([80, 90])}"
    rule = f"{match.text} ip daddr $DST_IP snat to {source}"
    return _draft(draw, "src-node", base, rule, f"{match.text} to the server leaves as {source}", match.selector)


@mechanism("redirected-in-pod", "translation", weight=2)
def redirected_in_pod(draw: Draw) -> Draft:
    """The rules of a service mesh are in the pod, and its proxy is not."""
    match = draw.one(["tcp dport $PORT", "ip daddr != 127.0.0.1 meta l4proto tcp", "ip daddr $SVC_IP meta l4proto tcp"])
    rule = f"{match} redirect to :{draw.one([15001, 4140])}"
    base = "nat hook output priority -100"
    selector: Selector = "port" if "PORT" in match else "protocol"
    return _draft(draw, "src-pod", base, rule, f"{match} goes to a proxy that does not run", selector)


@mechanism("rewriting-meets-nothing", "decoy")
def rewriting_meets_nothing(draw: Draw) -> Draft:
    """Rewriting that is daily work: published ports, exempt tunnels, masquerading of other containers, ample hops."""
    name = draw.name()
    base, rule = draw.one(
        [
            ("nat hook prerouting priority -110", "fib daddr type local tcp dport $PORT dnat to $OTHER_IP:9000"),
            ("nat hook prerouting priority -110", "tcp dport 8443 dnat to 192.0.2.8"),
            ("nat hook prerouting priority -90", "ip daddr $SVC_IP tcp dport $PORT dnat to 192.0.2.8"),
            ("filter hook prerouting priority -300", "udp dport $VXLAN_PORT notrack"),
            ("filter hook output priority -300", "udp dport $VXLAN_PORT notrack"),
            ("filter hook prerouting priority -300", "ip daddr 169.254.20.10 notrack"),
            ("nat hook postrouting priority 90", "ip saddr 172.17.0.0/16 masquerade"),
            ("nat hook postrouting priority 90", "ip saddr 172.17.0.0/16 snat to 192.0.2.1"),
            ("filter hook prerouting priority -150", "ip saddr $SRC_IP ip ttl set 64"),
        ]
    )
    on: Target = draw.one(["src-node", "dst-node"])
    text = f"table ip {name} {{ chain pre {{ type {base}; policy accept; {rule}; }}; }}"
    step = Step(on=on, do=f"nft '{text}'", undo=f"nft delete table ip {name}")
    return Draft(place=on, says=f"{rule} on the {on}", selector="port", steps=(step,), truth=Truth())
