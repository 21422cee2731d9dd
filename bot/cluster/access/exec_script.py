"""Looking by commands: one small script for one exec, and its output as a namespace's state.

The script only reads. What a container lacks leaves its section empty, and the state says so.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bot.agent.report import Address, Link, Listener, NetnsState, RouteAnswer
from bot.cluster.access import ip_json, proc_text

MARK = "@@cnibot "

_COMMANDS = {
    "addr": "ip -j -d -s addr show",
    "route": "ip -j route show table all",
    "neigh": "ip -j neigh show",
    "rule": "ip -j rule show",
    "arp": "cat /proc/net/arp",
    "rt": "cat /proc/net/route",
    "dev": "cat /proc/net/dev",
    "counters": "cat /proc/net/snmp /proc/net/netstat",
    "tcp": "cat /proc/net/tcp /proc/net/tcp6",
    "udp": "cat /proc/net/udp /proc/net/udp6",
    "kernel": "cat /proc/sys/kernel/osrelease",
    "boot": "cat /proc/sys/kernel/random/boot_id",
}
_RESOLVER = {"resolv": "cat /etc/resolv.conf"}
_SYS_LINKS = (
    "for d in /sys/class/net/*; do l=${d##*/}; for k in ifindex iflink mtu flags carrier address; do "
    'v=-; read -r v <"$d/$k"; l="$l ${v:--}"; done; echo "$l"; done'
)
_SYSCTL_FILES = " ".join(
    f"/proc/sys/net/{name}"
    for name in (
        "ipv4/ip_forward",
        "ipv4/neigh/default/gc_thresh*",
        "ipv4/neigh/default/proxy_delay",
        "ipv4/neigh/*/proxy_delay",
        "ipv4/conf/*/forwarding",
        "ipv4/conf/*/proxy_arp",
        "ipv4/conf/*/rp_filter",
        "ipv4/conf/*/arp_ignore",
        "ipv4/conf/*/arp_filter",
        "ipv4/conf/*/arp_announce",
        "ipv4/conf/*/disable_policy",
        "ipv4/conf/*/accept_local",
        "ipv4/conf/*/src_valid_mark",
        "ipv4/conf/*/proxy_arp_pvlan",
        "ipv4/conf/*/route_localnet",
        "ipv6/conf/all/disable_ipv6",
        "netfilter/nf_conntrack_count",
        "netfilter/nf_conntrack_max",
        "bridge/bridge-nf-call-iptables",
    )
)
_SYSCTLS = (  # not by the shell's `read`: dash asks for one byte at a time, and /proc/sys answers only the first
    f"if command -v grep >/dev/null; then grep -H . {_SYSCTL_FILES}; "
    f'else for f in {_SYSCTL_FILES}; do echo "$f:$(cat "$f")"; done; fi'
)
_LISTS = ("links", "addresses", "routes", "neighbours", "rules")
_FILES_WITHOUT_SHELL = ("/proc/net/arp", "/proc/net/route", "/proc/net/snmp", "/proc/net/netstat", "/etc/resolv.conf")

CAT = ("cat", *_FILES_WITHOUT_SHELL)
"""For containers without a shell: the same as far as one command goes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptOutput:
    """What one exec saw of a namespace."""

    state: NetnsState
    kernel: str
    boot_id: str
    nameservers: tuple[str, ...] | None
    search: tuple[str, ...]
    ndots: int
    missing: tuple[str, ...]
    """What the container's programs could not show: "links", "addresses", …"""
    answers: Mapping[str, RouteAnswer]
    """Of `route_questions`, by question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodQuestion:
    """Asks a node's routing about one of its pods: how it would reach it, and whether it would forward for it."""

    pod_ip: str
    gateway_ip: str


def script(questions: Iterable[PodQuestion] = (), *, of_pod: bool) -> tuple[str, str, str]:
    """The command that looks: `sh -c …`."""
    commands = {**_COMMANDS, **(_RESOLVER if of_pod else {})}
    lines = [_section(name, f"{command} 2>/dev/null") for name, command in commands.items()]
    lines += [
        _section("links", f"{{ {_SYS_LINKS}; }} 2>/dev/null"),
        _section("sysctls", f"{{ {_SYSCTLS}; }} 2>/dev/null"),
    ]
    lines += [line for question in questions for line in _ask(question)]
    return "sh", "-c", "\n".join([*lines, f"echo '{MARK}end'"])


def _section(name: str, command: str) -> str:
    return f"echo '{MARK}{name}'\n{command}"


def _ask(question: PodQuestion) -> list[str]:
    """Addresses come from the API and end in a shell: only real ones get there."""
    if not (_is_address(question.pod_ip) and _is_address(question.gateway_ip)):
        return []
    pod, gateway = question.pod_ip, question.gateway_ip
    device = f"d=$(ip route get {pod} 2>/dev/null | sed -n '1s/.* dev \\([^ ]*\\).*/\\1/p')"
    return [
        _section(f"to {pod}", f"ip -j route get {pod} 2>&1"),
        device,
        f'echo "{MARK}gateway {pod} {gateway} $d"',
        f'[ -n "$d" ] && ip -j route get {gateway} from {pod} iif "$d" 2>&1',
    ]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text


def read(output: bytes) -> ScriptOutput:
    """What the script's output says."""
    sections = _sections(output.decode("utf-8", "replace"))
    missing: list[str] = []
    links, addresses = _links(sections, missing)
    routes = _first(
        missing, "routes", ip_json.routes(sections.get("route", "")), proc_text.routes(sections.get("rt", ""))
    )
    neighbours = _first(
        missing,
        "neighbours",
        ip_json.neighbours(sections.get("neigh", "")),
        proc_text.neighbours(sections.get("arp", "")),
    )
    rules = _first(missing, "rules", ip_json.rules(sections.get("rule", "")))
    state = NetnsState(
        links=links,
        addresses=addresses,
        routes=routes,
        neighbours=neighbours,
        rules=rules,
        sysctls=proc_text.sysctls(sections.get("sysctls", "")),
        counters=proc_text.counters(sections.get("counters", "")),
        listeners=_listeners(sections, missing),
        shown=tuple(name for name in _LISTS if name not in missing),
    )
    resolv = sections.get("resolv", "")
    nameservers, search, ndots = proc_text.resolver(resolv)
    return ScriptOutput(
        state=state,
        kernel=sections.get("kernel", "").strip()[:100],
        boot_id=sections.get("boot", "").strip()[:100],
        nameservers=nameservers if resolv.strip() else None,
        search=search,
        ndots=ndots,
        missing=tuple(missing),
        answers=_answers(sections),
    )


def read_cat(output: bytes) -> ScriptOutput:
    """What `CAT` printed: files one after the other, separated by their first lines."""
    sections: dict[str, list[str]] = {}
    name = ""
    for line in output.decode("utf-8", "replace").splitlines():
        name = _file_of(line) or name
        sections.setdefault(name, []).append(line)
    marked = "".join(f"{MARK}{name}\n" + "\n".join(lines) + "\n" for name, lines in sections.items() if name)
    return read(marked.encode())


def _file_of(line: str) -> str:
    if line.startswith("IP address"):
        return "arp"
    if line.startswith("Iface\t"):
        return "rt"
    if line.startswith(("Ip:", "TcpExt:")):
        return "counters"
    return "resolv" if line.split(" ", maxsplit=1)[0] in {"nameserver", "search", "options"} else ""


def _sections(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in ("\n" + text).split("\n" + MARK)[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = body
    return found


def _links(sections: Mapping[str, str], missing: list[str]) -> tuple[tuple[Link, ...], tuple[Address, ...]]:
    by_ip = ip_json.links(sections.get("addr", ""))
    if by_ip is not None:
        return by_ip
    missing.append("addresses")
    links = proc_text.links(sections.get("links", ""))
    if {link.name for link in links} != proc_text.device_names(sections.get("dev", "")):
        links = ()  # /sys may be of another namespace than /proc/net: it belongs to whoever mounted it
    if not links:
        missing.append("links")
    return links, ()


def _first(missing: list[str], what: str, *candidates: tuple[ip_json.T, ...] | None) -> tuple[ip_json.T, ...]:
    """The first that was observed; else nothing, and a note that it was not."""
    for candidate in candidates:
        if candidate is not None:
            return candidate
    missing.append(what)
    return ()


def _listeners(sections: Mapping[str, str], missing: list[str]) -> tuple[Listener, ...] | None:
    tcp, udp = sections.get("tcp", ""), sections.get("udp", "")
    if not tcp.strip():
        missing.append("listeners")
        return None
    return proc_text.listeners(tcp, udp)


_ERRNOS = {
    "Network is unreachable": "ENETUNREACH",
    "No route to host": "EHOSTUNREACH",
    "Invalid argument": "EINVAL",
    "Permission denied": "EACCES",
    "Invalid cross-device link": "EXDEV",
}


def _answers(sections: Mapping[str, str]) -> dict[str, RouteAnswer]:
    answers: dict[str, RouteAnswer] = {}
    for name, body in sections.items():
        words = name.split()
        question = ""
        if words[:1] == ["to"] and len(words) == 2:
            question = words[1]
        elif words[:1] == ["gateway"] and len(words) == 4:
            question = f"{words[2]} from {words[1]} iif {words[3]}"
        answer = ip_json.route_answer(question, body) if question else None
        errno = next((errno for said, errno in _ERRNOS.items() if said in body), "")
        if answer:
            answers[question] = answer
        elif question and errno:
            answers[question] = RouteAnswer(question=question, errno=errno)
    return answers
