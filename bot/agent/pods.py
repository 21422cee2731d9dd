"""The pods of a task: which namespace each has, what stands in it, and how the node is joined to it."""

import os
import random
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from bot.agent.arp import ArpQuestion, Tally, arp_request, open_arp_socket
from bot.agent.connections import lasting, read_connections
from bot.agent.discovery import FoundNetns, find_in_home, find_namespaces, find_pinned, sockets_of
from bot.agent.files import read_foreign_text
from bot.agent.firewalls import Present, find_tables
from bot.agent.hosts import localhost_in, parse_hosts, read_hosts_text
from bot.agent.links import LinkRecord
from bot.agent.namespace import Reading, listening_ports, queue_counters, read_again, read_namespace
from bot.agent.netlink import NetlinkSocket
from bot.agent.netns import Home
from bot.agent.report import (
    ArpResult,
    Connection,
    Firewall,
    Missing,
    NetnsState,
    PodReport,
    Route,
    RouteAnswer,
    SelfTest,
    Task,
    TaskPod,
)
from bot.agent.resolv import parse_resolv_conf, resolver_options
from bot.agent.rtnetlink import ask_nsid, ask_route, read_addresses
from bot.agent.sources import Source


@dataclass(slots=True, kw_only=True)
class PodWork:
    """A pod while it is inspected. Everything open is closed by `close`."""

    pod: TaskPod
    netns: FoundNetns | None = None
    netns_fd: int = -1
    nsid: int | None = None
    why_not: str = ""
    is_host_network: bool = False
    netlink: NetlinkSocket | None = None
    reading: Reading | None = None
    after: NetnsState | None = None
    device: LinkRecord | None = None
    """The device that holds the pod's address."""
    host_record: LinkRecord | None = None
    present: Present = field(default_factory=Present)
    """Its own packet filters, by the kernel's word."""
    firewall: Firewall | None = None
    arp_socket: socket.socket | None = None
    arp_question: ArpQuestion | None = None
    arp_tally: Tally = field(default_factory=Tally)
    """How the ARP test stands while it runs."""
    arp: ArpResult | None = None
    oracle: RouteAnswer | None = None
    route_to_pod: RouteAnswer | None = None
    pids: list[int] = field(default_factory=list[int])
    """Its processes, where it shares the node's network."""
    connections: tuple[Connection, ...] | None = None
    """Theirs of the node's; once more after the tests, those that were there before."""
    resolv: tuple[tuple[str, ...], tuple[str, ...], int, tuple[str, ...]] | None = None
    """Its nameservers, search domains, ndots, and all options."""
    hosts: str | None = None
    """Its /etc/hosts."""
    self_tests: tuple[SelfTest, ...] | None = None
    missing: list[Missing] = field(default_factory=list[Missing])

    @property
    def ip(self) -> str:
        """The address that the API states, else the device's first IPv4 address."""
        if self.pod.ip or not self.reading:
            return self.pod.ip
        addresses = self.reading.state.addresses
        return next((one.ip for one in addresses if one.family == 4 and not one.ip.startswith("127.")), "")

    def close(self) -> None:
        """Give back what is open; the packet socket is closed with its kind, see arp.close_all."""
        if self.netlink:
            self.netlink.close()
        if self.netns_fd >= 0:
            os.close(self.netns_fd)
            self.netns_fd = -1


def match_pods(task: Task, home: Home, root: Reading, netlink: NetlinkSocket, host_root: str) -> list[PodWork]:
    """Each pod with its open namespace, or the reason why it has none."""
    works = [PodWork(pod=pod) for pod in task.pods]
    found = find_namespaces(home, [pod.uid for pod in task.pods])
    root_ips = {address.ip for address in root.state.addresses}
    by_uid = {netns.uid: netns for netns in found.values() if netns.uid}
    for work in works:
        if work.pod.is_host_network:
            work.is_host_network = True
        elif netns := by_uid.get(work.pod.uid):
            _adopt(work, netns)
            if work.netns_fd >= 0:
                work.nsid = ask_nsid(netlink, work.netns_fd)
    orphans = [work for work in works if not work.netns and not work.is_host_network]
    if orphans:
        rest = [netns for netns in found.values() if not netns.uid]
        rest += find_pinned(host_root, found)
        _match_by_address(orphans, rest, home, netlink)
    for work in orphans:
        # Last, as a node may hold a pod's address beside the pod: then it is the node's device that is wrong.
        work.is_host_network = work.netns is None and bool(work.pod.ip) and work.pod.ip in root_ips
    pids = find_in_home(home, [work.pod.uid for work in works if work.is_host_network and work.pod.is_source])
    for work in works:
        if own := pids.get(work.pod.uid):
            work.pids, work.resolv = own, _resolv_conf(own[:1])
            _read_connections(work, root.state)
    return works


def _read_connections(work: PodWork, root: NetnsState) -> None:
    """What the processes of a pod with the node's network dial."""
    try:
        work.connections = read_connections(listening_ports(root), sockets_of(work.pids))
    except OSError as error:
        work.missing.append(Missing(what=f"pods.{work.pod.uid}.connections", why=str(error)))


def _match_by_address(orphans: list[PodWork], rest: list[FoundNetns], home: Home, netlink: NetlinkSocket) -> None:
    wanted = {work.pod.ip: work for work in orphans if work.pod.ip}
    for netns in rest:
        if not wanted:
            break
        try:
            fd = netns.open()
        except OSError:
            continue
        nsid = ask_nsid(netlink, fd)
        ip = _address_among(fd, home, wanted.keys(), is_linked=nsid is not None)
        if ip is None:
            os.close(fd)
            continue
        work = wanted.pop(ip)
        work.netns, work.netns_fd, work.nsid = netns, fd, nsid
    for work in orphans:
        if not work.netns:
            work.why_not = work.why_not or "no process or namespace of this pod was found on the node"


def _address_among(fd: int, home: Home, wanted: Collection[str], *, is_linked: bool) -> str | None:
    """The wanted address that this namespace holds, if it is linked to the node's."""
    try:
        with home.visiting(fd), NetlinkSocket() as inside:
            if not is_linked and ask_nsid(inside, home.fd) is None:
                return None
            return next((one.ip for one in read_addresses(inside, {}) if one.ip in wanted), None)
    except OSError:
        return None


def _adopt(work: PodWork, netns: FoundNetns) -> None:
    work.netns = netns
    try:
        work.netns_fd = netns.open()
    except OSError as error:
        work.why_not = f"its network namespace could not be opened: {error}"


def visit(work: PodWork, task: Task, home: Home, root: Reading) -> None:
    """Read the pod's namespace and open what is needed in it. Never raises for what the pod did."""
    if work.netns_fd < 0:
        return
    try:
        with home.visiting(work.netns_fd):
            work.netlink = NetlinkSocket()
            work.reading = read_namespace(work.netlink, f"pods.{work.pod.uid}", is_root=False)
            _find_device(work, root.records)
            _open_arp(work, task)
            work.present = find_tables(f"pods.{work.pod.uid}")
    except OSError as error:
        work.why_not = f"its network namespace could not be read: {error}"
        work.reading = None
        return
    work.missing += work.reading.missing
    work.resolv = _resolv_conf(work.netns.pids) if work.netns else None
    work.hosts = read_hosts_text(work.netns.pids) if work.netns else None


def ask_oracles(work: PodWork, root: Reading, netlink: NetlinkSocket) -> None:
    """Would the node route the gateway's address for this pod (only then it answers ARP by proxy), and the way back?"""
    names = root.names
    if not work.ip or ":" in work.ip:
        return
    work.route_to_pod = ask_route(netlink, names, work.ip)
    if work.host_record and work.arp_question:
        # What arrives on a bridge port is routed as if it arrived on the bridge.
        ifindex = work.host_record.master_ifindex or work.host_record.link.ifindex
        iif = (ifindex, names.get(ifindex, ""))
        work.oracle = ask_route(netlink, names, work.arp_question.ip, src=work.ip, iif=iif)


async def ask_gateway(work: PodWork, task: Task, rng: random.Random) -> None:
    """The ARP test of the pod's gateway."""
    if work.arp_socket and work.arp_question:
        work.arp = await arp_request(work.arp_socket, work.arp_question, task.arp_tries, rng, work.arp_tally)


def holds_other_mac(work: PodWork) -> bool:
    """Whether the pod's entry for its gateway holds another MAC than the node's end of its (unbridged) link has."""
    if not (work.reading and work.host_record and work.arp_question) or work.host_record.master_ifindex:
        return False
    entry = next((one for one in work.reading.state.neighbours if one.ip == work.arp_question.ip), None)
    return entry is not None and bool(entry.mac) and entry.mac != work.host_record.link.mac


def look_again(work: PodWork, home: Home, root: NetnsState | None) -> None:
    """Counters and neighbours once more, after the tests; connections of one that shares the node's network."""
    if work.connections is not None:
        before, work.connections = work.connections, None
        if root is not None:
            after = read_connections(listening_ports(root), sockets_of(work.pids))
            work.connections = lasting(before, after)
    if work.netlink and work.reading:
        with home.visiting(work.netns_fd):
            work.after = read_again(work.netlink, work.reading, is_root=False)


def queues(work: PodWork, home: Home) -> dict[str, int] | None:
    """The counters of the pod's accept queues as they stand now; None when they are not seen."""
    if not work.netlink or not work.reading:
        return None
    with home.visiting(work.netns_fd):
        return queue_counters()


def as_source(work: PodWork, home: Home) -> Source | None:
    """The pod as a place to test from; None when it cannot be."""
    if not work.netlink or not work.reading:
        return None
    return Source(
        key=work.pod.uid,
        home=home,
        netns_fd=work.netns_fd,
        netlink=work.netlink,
        ip=work.ip,
        mtu=work.device.link.mtu if work.device else 1500,
        mtus={link.ifindex: link.mtu for link in work.reading.state.links},
        ips=frozenset(address.ip for address in work.reading.state.addresses),
        nameservers=work.resolv[0] if work.resolv else (),
        search=work.resolv[1] if work.resolv else (),
        ndots=work.resolv[2] if work.resolv else 1,
        names=work.pod.names,
        gateway=work.arp_question.ip if work.arp_question else "",
        gateway_tally=work.arp_tally,
    )


def as_resolver(work: PodWork, home: Home, netlink: NetlinkSocket) -> Source | None:
    """A pod with the node's network as a place to ask names from; None where its resolv.conf was not read."""
    if not work.is_host_network or work.resolv is None:
        return None
    nameservers, search, ndots, _ = work.resolv
    return Source(
        key=work.pod.uid,
        home=home,
        netns_fd=home.fd,
        netlink=netlink,
        nameservers=nameservers,
        search=search,
        ndots=ndots,
        names=work.pod.names,
    )


def pod_report(work: PodWork) -> PodReport:
    """What is known of the pod by now."""
    plain = partial(PodReport, uid=work.pod.uid, namespace=work.pod.namespace, name=work.pod.name, ip=work.ip)
    nameservers, search, ndots, options = work.resolv or (None, (), 1, ())
    resolver = partial(plain, nameservers=nameservers, search=search, ndots=ndots, resolver_options=options)
    if work.is_host_network:
        return resolver(is_found=True, is_host_network=True, connections=work.connections)
    if not work.reading:
        return plain(why_not=work.why_not or "not inspected before the deadline")
    return resolver(
        is_found=True,
        netns=work.netns.inode if work.netns else 0,
        state=replace(work.after or work.reading.state, firewall=work.firewall),
        host_link=work.host_record.link.name if work.host_record else "",
        gateway_ip=default_route_via(work.reading.state.routes)[0],
        gateway_arp=work.arp,
        gateway_oracle=work.oracle,
        route_to_pod=work.route_to_pod,
        hosts=None if work.hosts is None else parse_hosts(work.hosts),
        localhost=None if work.hosts is None else localhost_in(work.hosts),
        self_tests=work.self_tests,
    )


def default_route_via(routes: Sequence[Route]) -> tuple[str, str]:
    """(gateway, device) of the pod's preferred IPv4 default route; empty strings when there is none."""
    defaults = [route for route in routes if route.dst == "default" and route.type == "unicast" and route.table == 254]
    best = min(defaults, key=lambda route: route.metric, default=None)
    return (best.via, best.dev) if best else ("", "")


def gateway_to_ask(routes: Sequence[Route], device: str, expected: str) -> str:
    """Whose ARP answer matters on the pod's device.

    The default route's gateway; the expected one instead when the pod has no default route, or one that leaves by
    another device (a second network took it over), or one without a gateway.
    """
    via, dev = default_route_via(routes)
    return via if via and dev == device and ":" not in via else expected


def _resolv_conf(pids: Sequence[int]) -> tuple[tuple[str, ...], tuple[str, ...], int, tuple[str, ...]] | None:
    for pid in pids:
        try:
            text = read_foreign_text(f"/proc/{pid}/root/etc/resolv.conf")
        except OSError:
            continue
        return (*parse_resolv_conf(text), resolver_options(text))
    return None


def _find_device(work: PodWork, root_records: Sequence[LinkRecord]) -> None:
    assert work.reading
    state = work.reading.state
    holder = next((one.dev for one in state.addresses if one.ip == work.ip), "eth0")
    others = [record for record in work.reading.records if not record.is_loopback]
    work.device = next((one for one in others if one.link.name == holder), others[0] if others else None)
    if work.device and work.nsid is not None:
        peer = work.device.link.ifindex
        work.host_record = next(
            (one for one in root_records if one.peer_nsid == work.nsid and one.link.peer_ifindex == peer), None
        )


def _open_arp(work: PodWork, task: Task) -> None:
    assert work.reading
    if not work.device or not work.ip or ":" in work.ip:
        return
    link = work.device.link
    gateway = gateway_to_ask(work.reading.state.routes, link.name, task.gateway)
    if not gateway or not task.arp_tries:
        return
    work.arp_question = ArpQuestion(
        dev=link.name, mac=bytes.fromhex(link.mac.replace(":", "")), src=work.ip, ip=gateway
    )
    try:
        work.arp_socket = open_arp_socket(link.name)
    except OSError as error:
        work.missing.append(Missing(what=f"pods.{work.pod.uid}.arp", why=str(error)))
