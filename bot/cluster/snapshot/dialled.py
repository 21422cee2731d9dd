"""The addresses in a pod's environment and arguments: whom it is configured to dial.

Nothing else of an environment is kept, for it may hold secrets: of "postgres://app:s3cret@db.shop:5432/orders" remains
"postgres://db.shop:5432".
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec

from bot.cluster.objects import Container, EnvVar, Pod, ProbeSpec

MAX_LENGTH = 4096
MAX_ADDRESSES = 32
DEFAULT_PORTS: Mapping[str, int] = {
    "http": 80,
    "ws": 80,
    "https": 443,
    "wss": 443,
    "redis": 6379,
    "rediss": 6379,
    "postgres": 5432,
    "postgresql": 5432,
    "mysql": 3306,
    "amqp": 5672,
    "amqps": 5671,
    "mongodb": 27017,
    "nats": 4222,
}
_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?){0,8}\.?"
_URL = re.compile(
    rf"\b([A-Za-z][A-Za-z0-9+.-]{{1,20}})://(?:[^\s/@,;\"']{{0,200}}@)?({_HOST})(?::(\d{{1,5}}))?(?![\w@])"
)
_PAIR = re.compile(rf"(?<![\w./:@-])({_HOST}):(\d{{1,5}})(?![\w:.@-])")
_BARE = re.compile(rf"^{_HOST}$")
_REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")
_NAMES_A_HOST = re.compile(
    r"(?:^|_)(?:HOST|HOSTNAME|HOSTS|ADDR|ADDRESS|SERVER|SERVERS|ENDPOINT|URL|URI|UPSTREAM)$", re.IGNORECASE
)
_IPV4 = re.compile(r"\d{1,3}(?:\.\d{1,3}){3}\.?")
_INJECTED = re.compile(r"_SERVICE_HOST$|_SERVICE_PORT(?:_|$)|_PORT_\d+_(?:TCP|UDP|SCTP)")
_NAMES_A_PORT = re.compile(r"(?:^|_)PORT$", re.IGNORECASE)
_HOST_IP = frozenset({"status.hostIP", "status.hostIPs"})
_HERE = re.compile(r"^(?:localhost|127\.|0\.0\.0\.0|::1?$)", re.IGNORECASE)
_ITSELF = re.compile(
    r"(?<![\w.:-])(?:([A-Za-z][A-Za-z0-9+.-]{1,20})://)?(?:[^\s/@,;\"']{1,200}@)?"
    r"(localhost|127(?:\.\d{1,3}){3}|\[::1\]|::1)(?::(\d{1,5}))?(?![\w.:-])",
    re.IGNORECASE,
)
_NAMES_A_LISTENER = re.compile(r"listen|bind|serv(?:e|ing)\b|metrics|health|admin|pprof|debug", re.IGNORECASE)
_FLAG = re.compile(r"^--?([\w.-]{1,80})(?:=|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialled:
    """One address that a pod is given."""

    host: str
    """As it is written: a dot at the end says that the name is absolute, so that no search list completes it."""
    port: int | None = None
    scheme: str = ""
    where: str
    """The variable's name; "" for an argument."""

    @property
    def named(self) -> str:
        """In words that follow the pod: "its variable DB_HOST names db:5432"."""
        return f"its variable {self.where} names {self.text}" if self.where else f"its arguments name {self.text}"

    @property
    def text(self) -> str:
        """As it is kept: scheme, host and port."""
        scheme = f"{self.scheme}://" if self.scheme else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        end = "/" if scheme and host.endswith(".") else ""  # else, among other words, it could be a sentence's
        return f"{scheme}{host}" + (f":{self.port}" if self.port else end)


def dialled(container: Container) -> Iterator[Dialled]:
    """What a container's variables and arguments name. What kubelet injects for every Service is no evidence."""
    variables = _expanded(container.env)
    for name, value in variables.items():
        if _INJECTED.search(name):
            continue
        found = list(addresses(value, name))
        yield from found or _by_name(name, value, variables)
    for text in (*container.command, *container.args):
        yield from addresses(_expand(text, variables))


def addresses(text: str, where: str = "") -> Iterator[Dialled]:
    """URLs and "host:port" pairs in a text, the machine's own left out."""
    text = text[:MAX_LENGTH]
    spans: list[tuple[int, int]] = []
    for match in _URL.finditer(text):
        spans.append(match.span())
        port = int(match[3]) if match[3] else DEFAULT_PORTS.get(match[1].lower())
        if not _HERE.match(match[2]) and (host := _of_url(match)):
            yield Dialled(host=host, port=port, scheme=match[1].lower(), where=where)
    for match in _PAIR.finditer(text):
        is_new = all(match.end() <= start or match.start() >= end for start, end in spans)
        if is_new and not match[1].isdecimal() and not _HERE.match(match[1]) and 0 < int(match[2]) < 65536:
            yield Dialled(host=_as_written(match[1]), port=int(match[2]), where=where)


def _of_url(match: re.Match[str]) -> str:
    """Its host; "" where a dot behind it may end the name or a sentence, and that makes a difference."""
    host, rest = _as_written(match[2]), match.string[match.end() :]
    is_all = match.group() == match.string.strip()
    if not host.endswith(".") or match[3] or is_all or rest.startswith(("/", "?", "#")):
        return host
    return host.rstrip(".") if "svc" in host.split(".")[2:3] and host.count(".") > 3 else ""


def _as_written(host: str) -> str:
    """An address is never absolute: the dot behind it is no part of it."""
    return host.rstrip(".") if _IPV4.fullmatch(host) else host


def dialled_itself(container: Container) -> Iterator[Dialled]:
    """What a container's variables and arguments name in its own pod, by loopback address or as localhost.

    Where a variable or flag says that somebody shall listen there, it is no evidence that somebody dials.
    """
    variables = _expanded(container.env)
    for name, value in variables.items():
        yield from (each for each in addresses_here(value, name) if _is_called(each, name))
    flag = ""
    for text in (_expand(word, variables) for word in (*container.command, *container.args)):
        if own := _FLAG.match(text):
            flag = own[1]
        yield from (each for each in addresses_here(text) if _is_called(each, flag))
        flag = "" if own is None else flag


def _is_called(each: Dialled, name: str) -> bool:
    return bool(each.scheme) or not _NAMES_A_LISTENER.search(name)


def addresses_here(text: str, where: str = "") -> Iterator[Dialled]:
    """The loopback addresses, and localhost, in a text."""
    for match in _ITSELF.finditer(text[:MAX_LENGTH]):
        scheme = (match[1] or "").lower()
        port = int(match[3]) if match[3] else DEFAULT_PORTS.get(scheme)
        if port is None or 0 < port < 65536:
            yield Dialled(host=match[2].strip("[]").lower(), port=port, scheme=scheme, where=where)


def _by_name(name: str, value: str, variables: Mapping[str, str]) -> Iterator[Dialled]:
    """A host alone, where the variable's name or the host's own says so, with the port of its sister variable."""
    if not _BARE.match(value) or _HERE.match(value) or value.isdecimal():
        return
    if not _NAMES_A_HOST.search(name) and ".svc" not in value:
        return
    sister = variables.get(f"{_NAMES_A_HOST.sub('', name)}_PORT".lstrip("_"), "")
    yield Dialled(
        host=_as_written(value), port=int(sister) if sister.isdecimal() and len(sister) < 6 else None, where=name
    )


def _expanded(env: Iterable[EnvVar], host_ip: str = "") -> dict[str, str]:
    """Variables by name, with "$(NAME)" and the address of the pod's node put in as kubelet does."""
    found: dict[str, str] = {}
    for each in env:
        source = each.value_from.field_ref if each.value_from else None
        if each.value:
            found[each.name] = _expand(each.value, found)
        elif host_ip and source and source.field_path in _HOST_IP:
            found[each.name] = host_ip
    return found


def _expand(text: str, variables: Mapping[str, str]) -> str:
    """Cut again afterwards: variables made of variables would double with each."""
    return _REFERENCE.sub(lambda match: variables.get(match[1], match[0]), text[:MAX_LENGTH])[:MAX_LENGTH]


def only_addresses(pod: Pod) -> Pod:
    """The pod with nothing of its environment but addresses."""
    only = partial(_only_addresses, host_ip=pod.status.host_ip)
    spec = msgspec.structs.replace(
        pod.spec,
        containers=tuple(map(only, pod.spec.containers)),
        init_containers=tuple(map(only, pod.spec.init_containers)),
    )
    return msgspec.structs.replace(pod, spec=spec)


def _only_addresses(container: Container, host_ip: str) -> Container:
    container = msgspec.structs.replace(
        container,
        readiness_probe=_without_command(container.readiness_probe),
        liveness_probe=_without_command(container.liveness_probe),
    )
    if not container.env:
        return container
    variables = _expanded(container.env, host_ip)
    kept: list[EnvVar] = []
    for name, value in variables.items():
        found = [] if _INJECTED.search(name) else list(addresses(value, name)) or list(_by_name(name, value, variables))
        found += addresses_here(value, name)
        if found:
            text = " ".join(each.text for each in found[:MAX_ADDRESSES])
            kept.append(EnvVar(name=name, value=text))
        elif (value == host_ip) or (_NAMES_A_PORT.search(name) and value.isdecimal() and len(value) < 6):
            kept.append(EnvVar(name=name, value=value))
    return msgspec.structs.replace(container, env=tuple(kept))


def _without_command(probe: ProbeSpec | None) -> ProbeSpec | None:
    """A probe with nothing of its command but the pod's own addresses."""
    if probe is None or probe.exec is None:
        return probe
    kept = dict.fromkeys(each.text for word in probe.exec.command for each in addresses_here(word))
    command = tuple(kept)[:MAX_ADDRESSES]
    return msgspec.structs.replace(probe, exec=msgspec.structs.replace(probe.exec, command=command))
