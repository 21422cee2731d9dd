"""The applications that playbooks describe, recognised in a snapshot, and the connections that they need."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial

from bot.cluster.objects import Pod, Service
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.facts import Subject, pod, service
from bot.domain.flows import ExpectedAnswer, NeededFlow
from bot.playbooks.schema import (
    AnswerFile,
    ApplicationFile,
    DialFile,
    PatternFile,
    Playbook,
    Protocol,
    ServicePatternFile,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """An application that runs in the cluster."""

    name: str
    """"Seldon Core 2"."""
    playbook: str
    pods: frozenset[Subject]
    namespaces: frozenset[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplicationDial:
    """A connection that an application needs: these pods to this port of this Service."""

    application: str
    service: Subject
    port: int
    protocol: Protocol
    why: str
    sources: tuple[Subject, ...]
    is_needed: bool = True
    """Not where only some installations have it, nor where the file does not say which pods it is that connect."""
    expects: AnswerFile | None = None


def needed(found: Iterable[ApplicationDial]) -> tuple[NeededFlow, ...]:
    """The connection of each source of these dials that is known to need it."""
    return tuple(
        NeededFlow(
            source=source,
            target=dial.service,
            port=dial.port,
            protocol="UDP" if dial.protocol == "udp" else "TCP",
            known_by="playbook",
            why=f"{dial.application}: {dial.why}",
        )
        for dial in found
        if dial.is_needed
        for source in dial.sources
    )


def expected(found: Iterable[ApplicationDial]) -> tuple[ExpectedAnswer, ...]:
    """The questions of these dials that have any: one for each port, as the first asks it, from all that connect."""
    asked: dict[tuple[Subject, int, Protocol], list[ApplicationDial]] = defaultdict(list)
    for dial in found:
        if dial.expects:
            asked[dial.service, dial.port, dial.protocol].append(dial)
    return tuple(
        _expected(dials[0], dials[0].expects, tuple(sorted({source for dial in dials for source in dial.sources})))
        for dials in asked.values()
    )


def _expected(dial: ApplicationDial, answer: AnswerFile | None, sources: tuple[Subject, ...]) -> ExpectedAnswer:
    """The one of them that the file gives."""
    assert answer
    common = partial(
        ExpectedAnswer,
        application=dial.application,
        service=dial.service,
        port=dial.port,
        sources=sources,
        why=dial.why,
    )
    if http := answer.http:
        return common(kind="http", path=http.path, tls=http.tls, statuses=http.status, contains=http.contains)
    if grpc := answer.grpc:
        return common(kind="grpc", path=grpc.service, must_serve=grpc.serving)
    assert answer.dns
    return common(kind="dns", path=answer.dns.name, addresses=answer.dns.addresses)


def recognised(playbooks: Iterable[Playbook], snapshot: Snapshot) -> tuple[Application, ...]:
    """The applications whose pods the snapshot holds, by name."""
    pods = tuple(_live_pods(snapshot))
    found: list[Application] = []
    for playbook in playbooks:
        if playbook.application is None:
            continue
        members = _members(playbook.application, pods)
        if members:
            found.append(
                Application(
                    name=playbook.application.name,
                    playbook=playbook.name,
                    pods=frozenset(_subject(one) for one in members),
                    namespaces=frozenset(one.metadata.namespace for one in members),
                )
            )
    return tuple(sorted(found, key=lambda one: one.name))


def dials(playbooks: Iterable[Playbook], snapshot: Snapshot) -> tuple[ApplicationDial, ...]:
    """The connections that the applications in the snapshot need, between pods and Services that exist in it.

    A Service is looked for in the namespaces of the application's own pods.
    """
    pods = tuple(_live_pods(snapshot))
    found: list[ApplicationDial] = []
    for playbook in playbooks:
        if playbook.application is None:
            continue
        members = _members(playbook.application, pods)
        for dial in playbook.application.dials:
            found += _dials(playbook.application, dial, members, snapshot.services)
    return tuple(sorted(found, key=lambda one: (one.service, one.port, one.protocol)))


def _dials(
    application: ApplicationFile, dial: DialFile, members: Iterable[Pod], services: Iterable[Service]
) -> Iterator[ApplicationDial]:
    sources = [one for one in members if dial.source is None or _matches(dial.source, one)]
    namespaces = {one.metadata.namespace for one in sources}
    for target in services:
        if target.metadata.namespace not in namespaces or not _is_target(dial.to, target):
            continue
        if any(port.port == dial.port and port.protocol.lower() == dial.protocol for port in target.spec.ports):
            yield ApplicationDial(
                application=application.name,
                service=service(target.metadata.namespace, target.metadata.name),
                port=dial.port,
                protocol=dial.protocol,
                why=dial.why,
                is_needed=not dial.optional and dial.source is not None,
                expects=dial.expects,
                sources=tuple(
                    sorted(_subject(o) for o in sources if o.metadata.namespace == target.metadata.namespace)
                ),
            )


def _live_pods(snapshot: Snapshot) -> Iterator[Pod]:
    seen: set[str] = set()
    for one in (*snapshot.pods, *snapshot.dependency_pods, *snapshot.node_pods):
        if one.metadata.uid not in seen and not one.is_finished:
            seen.add(one.metadata.uid)
            yield one


def _members(application: ApplicationFile, pods: Iterable[Pod]) -> list[Pod]:
    return [one for one in pods if any(_matches(pattern, one) for pattern in application.recognise)]


def _matches(pattern: PatternFile, one: Pod) -> bool:
    return (
        _labels_match(pattern.labels, one.metadata.labels)
        and (not pattern.name or fnmatchcase(one.metadata.name, pattern.name))
        and (not pattern.image or any(_is_image(pattern.image, c.image) for c in one.spec.containers))
    )


def _is_target(pattern: ServicePatternFile, target: Service) -> bool:
    return fnmatchcase(target.metadata.name, pattern.name) and _labels_match(pattern.labels, target.metadata.labels)


def _labels_match(wanted: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    return all(key in labels and fnmatchcase(labels[key], value) for key, value in wanted.items())


def _is_image(pattern: str, reference: str) -> bool:
    """Whether it is of this pattern, also from a registry that mirrors others below paths of its own."""
    name = _image(reference)
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*/{pattern}")


def _image(reference: str) -> str:
    """A container image without registry host, tag and digest: "seldonio/mlserver"."""
    name = reference.partition("@")[0]
    host, slash, rest = name.partition("/")
    if slash and ("." in host or ":" in host or host == "localhost"):
        name = rest
    path, _, last = name.rpartition("/")
    last = last.partition(":")[0]
    return f"{path}/{last}" if path else last


def _subject(one: Pod) -> Subject:
    return pod(one.metadata.namespace, one.metadata.name)
