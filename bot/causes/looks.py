"""Looks as somebody types them: a probe's command with what is known filled in.

What no fact says, the command finds by itself where it runs. A command that would still need something is not shown:
what can be pasted is right, or it is not there.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind
from bot.rules.template import quoted

_BLANK = re.compile(r"<([a-z][a-z ]*)>")
_SANDBOX = "$(crictl pods -q --state ready --namespace ^{namespace}$ --name ^{name}$)"
"""The sandbox that runs: crictl keeps those that ended, and reads both names as regular expressions.

Not quoted as a whole, for the names are, where they must be. Source:
https://github.com/kubernetes-sigs/cri-tools/blob/master/docs/crictl.md
"""
_PID = "$(crictl inspectp -o go-template --template '{{{{.info.pid}}}}' {sandbox})"
_HOST_LINK = (
    r"$(grep -lx $(nsenter -t {pid} -n ip -o link show eth0 | grep -oP '@if\K\d+') "
    "/sys/class/net/*/ifindex | cut -d/ -f5)"
)
_GATEWAY = r"$(nsenter -t {pid} -n ip -o route show default | grep -oP 'via \K\S+')"
_NAMESERVER = "$(kubectl exec {pod} -- awk '/^nameserver/ {{print $2; exit}}' /etc/resolv.conf)"
_SELECTOR = (
    "$(kubectl get service {service} -o go-template="
    "'{{{{range $key, $value := .spec.selector}}}}{{{{$key}}}}={{{{$value}}}},{{{{end}}}}' | sed 's/,$//')"
)
_DNS_POD = "$(kubectl get pods -n kube-system -l k8s-app=kube-dns -o jsonpath='{.items[0].status.podIP}')"
_DNS_PORT = "53"
_UPLINK = r"$(ip -o route show default | grep -oP 'dev \K\S+' | head -1)"
_OVERLAY = r"$(ip -o link show type vxlan | grep -oP '^\d+: \K[^:@]+' | head -1)"


def filled(look: str, subject: Subject, facts: FactTable) -> str:
    """The command that observes a fact of `subject`; "" where something in it is neither known nor to be found."""
    around = _Around(subject, facts)
    if around.node is None:
        look = look.replace("on <node>", "on any node")
    missing = False

    def value(blank: re.Match[str]) -> str:
        nonlocal missing
        found = _FILLERS[blank[1]](around) if blank[1] in _FILLERS else ""
        missing = missing or not found
        return found

    text = _BLANK.sub(value, look)
    return "" if missing else text


@dataclass(frozen=True)
class _Around:
    """A subject, and what is near it: a pod to look from, its node, others to reach."""

    subject: Subject
    facts: FactTable

    @cached_property
    def node(self) -> Subject | None:
        if self.subject.kind is SubjectKind.PAIR:
            return self.subject.ends[0]
        return self.facts.relations.node_of(self.pod or self.subject)

    @cached_property
    def other_node(self) -> Subject | None:
        if self.subject.kind is SubjectKind.PAIR:
            return self.subject.ends[1]
        return next((one for one in self.facts.subjects(SubjectKind.NODE) if one != self.node), None)

    @cached_property
    def pod(self) -> Subject | None:
        """The subject itself, one that the Service leads to, one of the node, or one that was asked about."""
        match self.subject.kind:
            case SubjectKind.POD:
                return self.subject
            case SubjectKind.SERVICE:
                return next(iter(self.facts.relations.pods_of_service.get(self.subject, ())), None)
            case SubjectKind.NODE:
                return next(self._pods_of(self.subject), None)
            case SubjectKind.PAIR:
                return next(self._pods_of(self.subject.ends[0]), None)
            case SubjectKind.CLUSTER:
                return next(self._pods(), None)

    @property
    def client(self) -> Subject | None:
        """A pod that would dial the subject, of its own namespace if possible: never one that it leads to."""
        behind = {self.pod, *self.facts.relations.pods_of_service.get(self.subject, ())}
        if self.subject.kind not in {SubjectKind.POD, SubjectKind.SERVICE}:
            return self.pod
        namespace = self.subject.name.partition("/")[0]
        others = sorted(self._pods(), key=lambda one: not one.name.startswith(f"{namespace}/"))
        return next((one for one in others if one not in behind), None)

    @property
    def sibling(self) -> Subject | None:
        """Another pod of the same node."""
        return next((one for one in self._pods_of(self.node) if one != self.pod), None) if self.node else None

    @property
    def remote(self) -> Subject | None:
        """A pod of another node."""
        if self.subject.kind is SubjectKind.PAIR:
            return next(self._pods_of(self.subject.ends[1]), None)
        return next((one for one in self._pods() if self.facts.relations.node_of(one) != self.node), None)

    @property
    def service(self) -> Subject | None:
        """The Service itself; the DNS Service, which everybody dials, for all that is none."""
        if self.subject.kind is SubjectKind.SERVICE:
            return self.subject
        address = self.known(CLUSTER, "dns_service_ip")
        addresses = self.facts.relations.addresses
        found = (one for one, its in addresses.items() if its == address and one.kind is SubjectKind.SERVICE)
        return next(found, None) if address else None

    def known(self, subject: Subject | None, key: str) -> str:
        """What a fact says, as a word of a command; "" where it was not observed."""
        value = self.facts.of(subject).get(key) if subject else None
        return quoted(value) if isinstance(value, str) else ""

    def address(self, subject: Subject | None) -> str:
        """Where it is reached; "" where that is not known."""
        known = self.facts.relations.addresses.get(subject, "") if subject else ""
        if not known and subject is not None and subject.kind is SubjectKind.POD:
            return self.known(subject, "ip")
        return quoted(known) if known else ""

    def port(self, subject: Subject | None) -> str:
        """The port at which it is dialled."""
        port = self.facts.relations.ports.get(subject) if subject else None
        return str(port) if port else ""

    def _pods(self) -> Iterator[Subject]:
        """Pods with a network of their own, those that were asked about first."""
        pods = sorted(self.facts.subjects(SubjectKind.POD), key=self.facts.relations.asked_first)
        return (one for one in pods if self.facts.of(one).get("host_network") is not True and self.address(one))

    def _pods_of(self, node: Subject) -> Iterator[Subject]:
        return (one for one in self._pods() if self.facts.relations.node_of(one) == node)


def _name(subject: Subject | None) -> str:
    """A namespaced name as kubectl takes it: "-n shop web"."""
    if subject is None:
        return ""
    namespace, _, name = subject.name.partition("/")
    return f"-n {quoted(namespace)} {quoted(name)}"


def _sandbox(around: _Around) -> str:
    if around.pod is None:
        return ""
    namespace, _, name = around.pod.name.partition("/")
    return _SANDBOX.format(namespace=quoted(namespace), name=re.sub(r"[^A-Za-z0-9.-]", ".", name))


def _pid(around: _Around) -> str:
    sandbox = _sandbox(around)
    return _PID.format(sandbox=sandbox) if sandbox else ""


def _found_by_pid(key: str, command: str) -> Callable[[_Around], str]:
    """What a fact of the pod says; else a command that finds it from within the pod."""

    def fill(around: _Around) -> str:
        pid = _pid(around)
        return around.known(around.pod, key) or (command.format(pid=pid) if pid else "")

    return fill


def _namespace(around: _Around) -> str:
    of = around.subject if around.subject.kind is SubjectKind.SERVICE else around.pod
    return quoted(of.name.partition("/")[0]) if of else ""


def _of_service(command: str) -> Callable[[_Around], str]:
    return lambda around: command.format(service=_name(around.service)) if around.service else ""


def _nameserver(around: _Around) -> str:
    servers = around.facts.of(around.pod).get("nameservers") if around.pod else None
    if isinstance(servers, tuple) and servers:
        return quoted(str(servers[0]))
    return _NAMESERVER.format(pod=_name(around.pod)) if around.pod else ""


def _address(around: _Around) -> str:
    """Of the Service itself, never another one's in its place; else of the cluster's DNS."""
    is_service = around.subject.kind is SubjectKind.SERVICE
    return around.address(around.subject) if is_service else around.known(CLUSTER, "dns_service_ip")


def _port(around: _Around) -> str:
    return around.port(around.service) or ("" if around.subject.kind is SubjectKind.SERVICE else _DNS_PORT)


def _dns_pod(around: _Around) -> str:
    behind = around.facts.relations.pods_of_service.get(around.service, ()) if around.service else ()
    return next((ip for one in behind if (ip := around.address(one))), "") or _DNS_POD


_FILLERS: Mapping[str, Callable[[_Around], str]] = MappingProxyType(
    {
        "node": lambda around: quoted(around.node.name) if around.node else "",
        "node ip": lambda around: around.address(around.node),
        "other node ip": lambda around: around.address(around.other_node),
        "pod": lambda around: _name(around.pod),
        "pod ip": lambda around: around.address(around.pod),
        "other pod ip": lambda around: around.address(around.sibling),
        "remote pod ip": lambda around: around.address(around.remote),
        "client": lambda around: _name(around.client),
        "namespace": _namespace,
        "sandbox": _sandbox,
        "pid": _pid,
        "host link": _found_by_pid("own_dev", _HOST_LINK),
        "gateway": _found_by_pid("gateway_ip", _GATEWAY),
        "nameserver": _nameserver,
        "uplink": lambda around: around.known(around.node, "uplink_name") or _UPLINK,
        "overlay device": lambda around: around.known(around.node, "overlay_name") or _OVERLAY,
        "service": lambda around: _name(around.service),
        "service name": lambda around: quoted(around.service.name.partition("/")[2]) if around.service else "",
        "selector": _of_service(_SELECTOR),
        "address": _address,
        "port": _port,
        "endpoint": lambda around: around.address(around.pod),
        "endpoint port": lambda around: around.port(around.pod),
        "dns pod": _dns_pod,
    }
)
BLANKS = frozenset(_FILLERS)
"""What a look may leave out."""
