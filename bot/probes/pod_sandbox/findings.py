"""How pod-sandbox tells what it saw."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType

from bot.domain.facts import CLUSTER, FactTable, Subject, SubjectKind, Value
from bot.domain.finding import Finding, Severity, SymptomKind
from bot.probes.shared.sentences import Who, names, plural, sharing, unseen

NAME = "pod-sandbox"

_MEANING: Mapping[str, str] = MappingProxyType(
    {
        "cni-not-initialised": "the CNI is not (yet) ready on this node",
        "plugin-missing": "a CNI plugin's binary is missing",
        "ipam-exhausted": "no address is left in the range",
        "no-pool": "no address pool serves this node",
        "api-timeout": "the CNI plugin could not reach the API server",
        "unauthorized": "the CNI plugin's credentials are not accepted",
        "subnet-env-missing": "flanneld has not written /run/flannel/subnet.env",
        "bridge-address-conflict": "the bridge carries an address of another range",
        "pod-cidr-missing": "the node has no range of pod addresses",
        "agent-unreachable": "the CNI plugin does not reach its agent on the node",
        "agent-overloaded": "the CNI's agent on the node does not keep up",
        "nodename-missing": "calico-node has not written /var/lib/calico/nodename",
        "datastore-not-ready": "Calico's datastore is not set up",
        "plugin-crashed": "a CNI plugin crashed",
        "plugin-not-executable": "a CNI plugin cannot be executed",
        "ipam-store": "the node's store of addresses cannot be used",
        "address-taken": "its address is given to another",
        "api-cut": "the API server's answer to the CNI plugin was cut",
        "forbidden": "the CNI plugin's account may not read what it needs",
        "other-ca": "the CNI plugin trusts another CA than the API server's",
        "certificate-name": "the API server's certificate does not name the address that the CNI plugin dials",
        "certificate-expired": "a certificate between the CNI plugin and the API server has expired",
        "default-network-awaited": "Multus waits for the default network",
        "extra-network-missing": "a further network that it asks for does not exist",
        "cni-version": "a CNI plugin does not speak the version of the configuration",
        "conf-invalid": "a CNI configuration file cannot be read",
        "ipv6-disabled": "IPv6 is switched off on the node",
        "kernel-lacks": "the node's kernel lacks what a CNI plugin needs",
        "device-left-over": "a device of an earlier attempt is in the way",
        "parent-device": "the device below is missing or taken",
        "mtu-invalid": "the device does not take the MTU of the CNI configuration",
        "node-resources": "the node lacks memory, disk, files or processes",
        "pause-image": "the image of the sandbox itself could not be pulled",
        "resolv-conf": "the node's resolv.conf is missing",
        "runtime": "the container runtime failed",
        "other": "the sandbox could not be made",
    }
)

_Known = Mapping[str, Value]


def judge(table: FactTable) -> Sequence[Finding]:
    """FAIL for pods without a network, WARN for unready ones and odd addresses, PASS when all have what they need."""
    pods = {pod: table.of(pod) for pod in table.subjects(SubjectKind.POD)}
    failed = [_without_network(table, who, state) for who, state in sharing(table, _states(pods, _failed))]
    found = [
        *failed,
        *(_slow(who) for who, _ in sharing(table, _states(pods, _waits_for_something))),
        *(_unready(table, who, state) for who, state in sharing(table, _states(pods, _not_ready))),
        *_duplicates(pods),
        *(_outside_pool(who) for who, _ in sharing(table, _states(pods, _is_outside))),
        *unseen(table, NAME, SubjectKind.POD, "sandbox_error", "Why the network could not be made"),
    ]
    return (*found, *_pass(pods, has_failed=bool(failed)))


def _states(
    pods: Mapping[Subject, _Known], state: Callable[[_Known], tuple[str, ...] | None]
) -> Mapping[Subject, tuple[str, ...] | None]:
    """What each pod shares with others, None when there is nothing to tell of it."""
    return {pod: state(known) for pod, known in pods.items() if known.get("is_terminating") is not True}


def _failed(known: _Known) -> tuple[str, ...] | None:
    error = known.get("sandbox_error")
    if known.get("has_ip") is not False or not isinstance(error, str) or error == "none":
        return None
    return (error,)


def _waits_for_something(known: _Known) -> tuple[str, ...] | None:
    """No address for two minutes, and no sandbox that failed."""
    waits = known.get("sandbox_error") == "none" and known.get("has_ip") is False and known.get("is_young") is False
    is_scheduled = known.get("waiting") not in {"Unschedulable", "Unscheduled", "SchedulingGated"}
    return ("waits",) if waits and is_scheduled and known.get("phase") == "Pending" else None


def _not_ready(known: _Known) -> tuple[str, ...] | None:
    if known.get("in_scope") is not True or known.get("is_ready") is not False or _failed(known):
        return None
    if known.get("unscheduled", "no") != "no" or known.get("image_error", "none") != "none":
        return None  # pod-start tells it, and why
    own = str(known.get("probe_says")) if known.get("unready_by_itself") is True else ""
    was_ready = "was ready" if own and known.get("has_been_ready") is not False else ""
    return (str(known.get("waiting") or ""), "young" if known.get("is_young") is True else "", own, was_ready)


def _is_outside(known: _Known) -> tuple[str, ...] | None:
    return ("outside",) if known.get("ip_in_pool") is False else None


def _without_network(table: FactTable, who: Who, state: tuple[str, ...]) -> Finding:
    (error,) = state
    message = str(table.of(who.pods[0]).get("sandbox_message") or "")
    words = f': "{message}"' if message else ""
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.FAIL,
        sentence=f"{_capital(who)} {_has(who)} no network, because {_MEANING.get(error, error)}{words}.",
        evidence={"sandbox_error": error, "sandbox_message": message},
        symptom=who.symptom(SymptomKind.POD_WITHOUT_NETWORK, "api"),
    )


def _slow(who: Who) -> Finding:
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.WARN,
        sentence=f"{_capital(who)} {_has(who)} had no address for more than two minutes, and no event says that a "
        "sandbox failed: something before the network (often a volume) is not done yet.",
    )


def _unready(table: FactTable, who: Who, state: tuple[str, ...]) -> Finding:
    waiting, young, own, was_ready = state
    if own:
        return _unready_by_itself(who, own, may_be_over=bool(was_ready))
    why = f", waiting: {waiting}" if waiting else ""
    restarts = sum(_number(table.of(pod).get("restarts")) for pod in who.pods)
    again = f" ({plural(restarts, 'restart')} so far)" if restarts else ""
    note = " Younger than two minutes: this may be its start." if young else ""
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.INFO if young else Severity.WARN,
        sentence=f"{_capital(who)} {'is' if len(who.pods) == 1 else 'are'} not ready{why}{again}.{note}",
        symptom=None if young else who.symptom(SymptomKind.PODS_NOT_READY, "application"),
    )


def _unready_by_itself(who: Who, words: str, *, may_be_over: bool) -> Finding:
    """No symptom: the network carried kubelet's question and the answer.

    `may_be_over`: it was ready once, so a fault that ended before we looked may have taken that away; kubelet asks
    again in its own time.
    """
    one = len(who.pods) == 1
    whose = "of the application, or what a fault left that has just ended" if may_be_over else "of the application"
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.WARN,
        sentence=f"{_capital(who)} {'reports' if one else 'report'} that "
        f'{"it is" if one else "they are"} not ready (kubelet: "{words}"), and nothing that '
        f"{'it needs' if one else 'they need'} is out of reach now: a matter {whose}.",
        evidence={"unready_by_itself": True, "probe_says": words, "may_be_over": may_be_over},
    )


def _number(value: Value | None) -> int:
    return value if isinstance(value, int) else 0


def _duplicates(pods: Mapping[Subject, _Known]) -> Iterator[Finding]:
    by_ip: dict[str, list[Subject]] = defaultdict(list)
    for pod, known in pods.items():
        if known.get("duplicate_ip") is True and known.get("host_network") is not True:
            by_ip[str(known.get("ip") or "")].append(pod)
    for ip, owners in by_ip.items():
        owned = f"Pods {names(owners)} have" if len(owners) > 1 else f"Pod {owners[0].name} and a node have"
        address = f"the same address {ip}" if ip else "the same address"
        yield Finding(
            probe=NAME,
            subject=owners[0] if len(owners) == 1 else CLUSTER,
            severity=Severity.WARN,
            sentence=f"{owned} {address}: traffic to it reaches sometimes one, sometimes the other.",
        )


def _outside_pool(who: Who) -> Finding:
    return Finding(
        probe=NAME,
        subject=who.subject,
        severity=Severity.WARN,
        sentence=f"{_capital(who)} {_has(who)} an address outside every range from which addresses are handed out "
        "now: most likely from before a change of pools or of the CNI.",
    )


def _pass(pods: Mapping[Subject, _Known], *, has_failed: bool) -> Iterator[Finding]:
    asked = [
        known
        for known in pods.values()
        if known.get("in_scope") is True and known.get("host_network") is False and not known.get("is_terminating")
    ]
    good = [known for known in asked if known.get("has_ip") is True and known.get("duplicate_ip") is False]
    if asked and len(good) == len(asked) and not has_failed:
        who = "The pod asked about has" if len(asked) == 1 else f"Each of the {len(asked)} pods asked about has"
        yield Finding(
            probe=NAME,
            subject=CLUSTER,
            severity=Severity.PASS,
            sentence=f"{who} an address, which no other known pod or node has.",
        )


def _has(who: Who) -> str:
    return "has" if len(who.pods) == 1 else "have"


def _capital(who: Who) -> str:
    return _upper(str(who)) if len(who.pods) > 1 else f"Pod {who}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]
