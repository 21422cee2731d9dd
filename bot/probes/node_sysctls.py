"""Which kernel settings decide about pod traffic on each node, which differ from the other nodes', and who sets them?

Package scripts, tuned, cloud agents and `sysctl --system` reset forwarding, rp_filter and proxy_arp behind the CNI's
back. A node that differs from all its peers in one setting is worth a look even before it is known what it does; the
files that set such keys say who will do it again after the next boot.

`bridge-nf-call-iptables` off (or br_netfilter not loaded) takes bridged traffic past kube-proxy's rules: on a bridge
CNI a Service then fails exactly when its backend is on the same node.

Source: https://docs.kernel.org/networking/ip-sysctl.html
Source: https://github.com/cilium/cilium/issues/10645 (systemd's rp_filter default)
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from bot.agent.report import NetnsState
from bot.domain import facts
from bot.domain.facts import FactBuilder, FactTable, Rung, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity
from bot.domain.listing import and_more
from bot.probes.engine.evidence import Evidence
from bot.probes.engine.fact_spec import fact
from bot.probes.engine.needs import LOOK_AT_PODS
from bot.probes.engine.probe import Probe
from bot.probes.shared.pod_views import NodeView, conf, node_views, strictest, sysctl
from bot.probes.shared.routing import uplink
from bot.probes.shared.sentences import plural, unseen
from bot.probes.shared.shared_devices import shared_devices
from bot.probes.shared.values import listed, strings

NAME = "node-sysctls"
PEERS = 3
"""From so many nodes on one can be an outlier."""

_OUTSIDE = (Rung.CNI_AGENT, Rung.AGENT)
_COMPARED = ("rp_filter", "proxy_arp", "forwarding", "arp_ignore", "arp_filter", "arp_announce", "route_localnet")
_COMPARED_KEYS = (
    "ipv4.ip_forward",
    "bridge.bridge-nf-call-iptables",
    "ipv4.neigh.default.proxy_delay",
    "ipv4.icmp_echo_ignore_all",
    *(f"ipv4.conf.{group}.{name}" for group in ("all", "default") for name in _COMPARED),
)
_BRIDGE = "bridge.bridge-nf-call-iptables"

FACTS = (
    fact(
        "node.uplink_rp_filter",
        "int",
        "Reverse path filter on the node's uplink: 0 off, 1 strict, 2 loose; the larger of `all` and its own.",
        rungs=_OUTSIDE,
        look="sysctl net.ipv4.conf.all.rp_filter net.ipv4.conf.<uplink>.rp_filter  # on <node>",
    ),
    fact(
        "node.devices_not_forwarding",
        "list",
        "Devices that carry pods (bridge, tunnel, uplink) whose own forwarding is off although the node's is on.",
        rungs=_OUTSIDE,
        look="sysctl -a | grep -E 'ipv4.conf.*.forwarding = 0'  # on <node>",
    ),
    fact(
        "node.device_forwarding_on",
        "list",
        "The commands that switch forwarding on for these devices.",
        rungs=_OUTSIDE,
        look="sysctl -a | grep -E 'ipv4.conf.*.forwarding = 0'  # on <node>",
        is_command=True,
    ),
    fact(
        "node.device_forwarding_off",
        "list",
        "The commands that switch it off again.",
        rungs=_OUTSIDE,
        look="sysctl -a | grep -E 'ipv4.conf.*.forwarding = 0'  # on <node>",
        is_command=True,
    ),
    fact(
        "node.strict_devices",
        "list",
        "Devices that carry pods (bridge, tunnel, uplink) with a strict reverse path filter.",
        rungs=_OUTSIDE,
        look="sysctl -a | grep -E 'ipv4.conf.*.rp_filter = 1'  # on <node>",
    ),
    fact(
        "node.bridge_nf_call",
        "bool",
        "Bridged IPv4 traffic passes iptables and nftables (false also when br_netfilter is not loaded).",
        rungs=_OUTSIDE,
        look="sysctl net.bridge.bridge-nf-call-iptables  # on <node>",
    ),
    fact(
        "node.sysctl_outliers",
        "list",
        "Settings in which the node differs from all other nodes, which agree (three nodes at least).",
        rungs=_OUTSIDE,
        look="sysctl -a | grep -E 'ip_forward|conf.(all|default)'  # on each node",
    ),
    fact(
        "node.sysctl_files",
        "list",
        "Lines of the node's sysctl files that set forwarding, rp_filter or proxy_arp.",
        look="grep -rE 'forward|rp_filter|proxy_arp' /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d  # on <node>",
    ),
)


def observe(evidence: Evidence, into: FactBuilder) -> None:
    """The settings of each node that was inspected, and how each differs from its peers."""
    by_node = node_views(evidence)
    compared = {name: _compared(root, _uplink(evidence, root)) for name, root in by_node.items()}
    for name, root in by_node.items():
        node, dev = facts.node(name), _uplink(evidence, root)
        unread = f"the sysctls of {dev} were not read" if dev else "the node's uplink is not known"
        into.put(node, "uplink_rp_filter", strictest(root.state, dev, "rp_filter") if dev else None, unread)
        _observe_devices(evidence, root, into)
        into.put(node, "bridge_nf_call", _bridge_nf_call(root), "the node's sysctls were not read")
        files = root.report.sysctl_files
        why = root.why_missing("host.sysctl", "host") or "the node's sysctl files were not read"
        into.put(node, "sysctl_files", None if files is None else files[:20], why)
        _observe_outliers(node, compared, into)


def _observe_devices(evidence: Evidence, root: NodeView, into: FactBuilder) -> None:
    """What each device that carries pods is set to: a packet that comes in is forwarded if that device says so."""
    node, state = facts.node(root.name), root.state
    devices = sorted(shared_devices(evidence, root))
    known = [dev for dev in devices if conf(state, dev, "forwarding") is not None]
    if not known:
        keys = ("devices_not_forwarding", "strict_devices", "device_forwarding_on", "device_forwarding_off")
        into.miss_all(node, keys, "the sysctls of its devices were not read")
        return
    is_on = sysctl(state, "ipv4.ip_forward") == 1
    off = [dev for dev in known if is_on and conf(state, dev, "forwarding") == 0]
    into.set(node, "devices_not_forwarding", tuple(off))
    # With slashes, for a device's name may have dots.
    for key, value in (("device_forwarding_on", 1), ("device_forwarding_off", 0)):
        commands = (f"sysctl -w {shlex.quote(f'net/ipv4/conf/{dev}/forwarding={value}')}" for dev in off)
        into.set(node, key, tuple(commands))
    into.set(node, "strict_devices", tuple(dev for dev in known if strictest(state, dev, "rp_filter") == 1))


def _uplink(evidence: Evidence, root: NodeView) -> str:
    ip = evidence.nodes[root.name].internal_ip if root.name in evidence.nodes else ""
    dev = next((each.dev for each in root.state.addresses if ip and each.ip == ip), "")
    return uplink(root.state.routes, root.links, dev)


def _bridge_nf_call(root: NodeView) -> bool | None:
    """False when the key does not exist: our agent asks for it, and without br_netfilter nobody has it."""
    value = root.state.sysctls.get(_BRIDGE)
    if value is not None:
        return value.strip() == "1"
    return False if root.is_ours and root.state.sysctls else None


def _compared(root: NodeView, dev: str) -> dict[str, str]:
    """The settings to be compared; those of the uplink under a name that is the same on every node."""
    state: NetnsState = root.state
    found = {key: state.sysctls[key] for key in _COMPARED_KEYS if key in state.sysctls}
    for name in _COMPARED if dev else ():
        key = f"ipv4.conf.{dev.replace('.', '/')}.{name}"
        if key in state.sysctls:
            found[f"ipv4.conf.<uplink>.{name}"] = state.sysctls[key]
    return found


def _observe_outliers(node: Subject, compared: Mapping[str, Mapping[str, str]], into: FactBuilder) -> None:
    own = compared[node.name]
    if len(compared) < PEERS:
        into.miss(node, "sysctl_outliers", f"only {plural(len(compared), 'node')} could be compared")
    elif not own:
        into.miss(node, "sysctl_outliers", "the node's sysctls were not read")
    else:
        others = [each for name, each in compared.items() if name != node.name]
        into.set(node, "sysctl_outliers", tuple(_outliers(own, others))[:20])


def _outliers(own: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> Iterator[str]:
    for key, value in own.items():
        theirs = [each[key] for each in others if key in each]
        if len(theirs) >= PEERS - 1 and len(set(theirs)) == 1 and theirs[0] != value:
            yield f"{key}={value[:20]}, peers {theirs[0][:20]}"


def judge(table: FactTable) -> Sequence[Finding]:
    """WARN for nodes that do not forward, INFO for those that differ from all others; PASS where forwarding is on."""
    found: list[Finding] = []
    forwarding: list[Subject] = []
    for node in table.subjects(SubjectKind.NODE):
        known = table.of(node)
        outliers = known.get("sysctl_outliers")
        if known.get("ip_forward") is False:
            files = known.get("sysctl_files")
            by = f" (set in {_forwarding_line(files)})" if _forwarding_line(files) else ""
            sentence = f"Node {node.name} does not forward packets: net.ipv4.ip_forward is 0{by}."
            found.append(_note(Severity.WARN, node, sentence, known))
        elif devices := strings(known.get("devices_not_forwarding")):
            sentence = (
                f"Node {node.name} does not forward what comes in by {listed(devices)} (its own forwarding is 0)."
            )
            found.append(_note(Severity.WARN, node, sentence, known))
        elif known.get("ip_forward"):
            forwarding.append(node)
        if isinstance(outliers, tuple) and outliers:
            sentence = f"Node {node.name} differs from all other nodes: {and_more(outliers, 3, by='; ')}."
            found.append(_note(Severity.INFO, node, sentence, known))
    if forwarding:
        found.append(_pass(forwarding))
    found += unseen(table, NAME, SubjectKind.NODE, "bridge_nf_call", "The kernel settings")
    return found


def _forwarding_line(files: Value | None) -> str:
    """The line of a sysctl file that sets ip_forward, "" when none is known."""
    lines = files if isinstance(files, tuple) else ()
    return next((str(line) for line in lines if "ip_forward" in str(line)), "")


def _note(severity: Severity, node: Subject, sentence: str, known: Mapping[str, Value]) -> Finding:
    keys = ("ip_forward", "devices_not_forwarding", "sysctl_outliers", "sysctl_files")
    evidence = {key: known[key] for key in keys if key in known}
    return Finding(probe=NAME, subject=node, severity=severity, sentence=sentence, evidence=evidence)


def _pass(nodes: Sequence[Subject]) -> Finding:
    one = len(nodes) == 1
    who = f"Node {nodes[0].name} forwards" if one else f"All {len(nodes)} nodes that were inspected forward"
    return Finding(
        probe=NAME,
        subject=nodes[0] if one else facts.CLUSTER,
        severity=Severity.PASS,
        sentence=f"{who} packets (net.ipv4.ip_forward is 1).",
    )


PROBE = Probe(
    name=NAME,
    question="Which kernel settings decide about pod traffic, which differ between nodes, and who sets them?",
    facts=FACTS,
    needs=LOOK_AT_PODS,
    observe=observe,
    judge=judge,
)
