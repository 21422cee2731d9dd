"""Taking a snapshot: everything at once, tolerant of what is forbidden, within one deadline."""

import asyncio
import difflib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any, TypeVar

import msgspec

from bot.aio.groups import TaskGroup
from bot.cluster.client.api import Api
from bot.cluster.client.paths import api_path
from bot.cluster.objects import (
    ConfigMap,
    ControllerRevision,
    CustomObject,
    DaemonSet,
    Deployment,
    EndpointSlice,
    Event,
    Namespace,
    NetworkPolicy,
    Node,
    Pod,
    ReplicaSet,
    Service,
)
from bot.cluster.snapshot.asked_pods import asked_pods
from bot.cluster.snapshot.dialled import dialled, only_addresses
from bot.cluster.snapshot.scope import (
    CONFIG_MAPS,
    CONNECTIVITY_NAMESPACES,
    CUSTOM_KINDS,
    DNS_LABELS,
    DNS_NAMESPACES,
    CustomKind,
)
from bot.cluster.snapshot.secrets import without_environment, without_secrets
from bot.cluster.snapshot.snapshot import Snapshot
from bot.cluster.snapshot.tolerant_reads import Reader
from bot.domain.errors import DeadlineError, ForbiddenError, NotFoundError, UnknownNamespaceError
from bot.domain.report import ApiRead, Unobserved

T = TypeVar("T")

MOST_NODES = 100
SMALL_CLUSTER_NODES = 50
"""Up to so many nodes all pods are listed at once; beyond, only those of the nodes in scope."""

MAX_NAMED_NAMESPACES = 5
MAX_EVENTS = 5_000
EVENTS_KEPT = 2_000


async def take_snapshot(
    api: Api,
    namespace: str,
    *,
    deadline_s: float,
    pod: str | None = None,
    nodes: tuple[str, ...] = (),
    all_nodes: bool = False,
    most_nodes: int = MOST_NODES,
) -> Snapshot:
    """The snapshot of `namespace`.

    `pod` narrows the nodes in scope to that pod's node; `nodes` adds nodes to them, `all_nodes` the rest; of a large
    cluster the pods of `most_nodes` are read.
    Errors: `UnknownNamespaceError`, and what keeps the very first
    read from working (`UnauthorizedError`, `UnreachableError`, `DeadlineError`, …). Any other resource that is
    forbidden, fails or is late stands in `unobserved`.
    """
    taking = SnapshotReader(api, namespace, pod, nodes=nodes, all_nodes=all_nodes, most_nodes=most_nodes)
    deadline = asyncio.timeout(deadline_s)
    try:
        async with deadline:
            await taking.namespaces()
            await taking.everything()
    except TimeoutError as error:
        if not deadline.expired():
            raise
        if not taking.has_begun:
            raise DeadlineError(f"The API server {api.server} did not answer", deadline_s) from error
        taking.reader.late(deadline_s)
    return taking.snapshot()


_CLEANERS: Mapping[str, Callable[[Any], Any]] = {
    "pods": only_addresses,
    "dependency_pods": only_addresses,
    "node_pods": only_addresses,
    "deployments": without_environment,
    "replica_sets": without_environment,
    "daemon_sets": without_secrets,
}
"""What must not leave a cluster is taken out of each of these fields."""


class SnapshotReader:
    """A snapshot in the making: `found` holds its fields as they arrive."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        pod: str | None,
        *,
        nodes: tuple[str, ...],
        all_nodes: bool,
        most_nodes: int,
    ) -> None:
        self.reader = Reader(api)
        self.has_begun = False
        self._nodes = nodes
        self._all_nodes = all_nodes
        self._most_nodes = most_nodes
        self._api = api
        self._namespace = namespace
        self._pod = pod
        self._started_at = datetime.now(UTC)
        self._known: frozenset[str] | None = None
        self._found: dict[str, dict[str, Any]] = {}
        self._custom: dict[str, tuple[CustomObject, ...]] = {}
        self._claiming: tuple[Service, ...] | None = None
        self._version = ""

    async def namespaces(self) -> None:
        """The first read: it shows that the server is there, knows us, and knows the namespace."""
        try:
            listed = (await self._api.list_all("/api/v1/namespaces", Namespace)).items
        except ForbiddenError as error:
            self.reader.miss("namespaces", ApiRead(plural="namespaces"), error)
            listed = await self._own_namespace()
        else:
            self._known = frozenset(each.metadata.name for each in listed)
            if self._namespace not in self._known:
                nearest = difflib.get_close_matches(self._namespace, sorted(self._known), n=3, cutoff=0.5)
                raise UnknownNamespaceError(self._namespace, nearest)
        self._keep("namespaces", listed)
        self.has_begun = True

    async def _own_namespace(self) -> tuple[Namespace, ...]:
        """The diagnosed namespace where listing is forbidden; () where reading it is, too."""
        try:
            return (await self._api.get(api_path("namespaces", name=self._namespace), Namespace),)
        except NotFoundError as error:
            raise UnknownNamespaceError(self._namespace) from error
        except ForbiddenError as error:
            self.reader.miss(f"namespace {self._namespace}", ApiRead(plural="namespaces", name=self._namespace), error)
            return ()

    async def everything(self) -> None:
        """All other reads, concurrently."""
        own = self._namespace
        async with TaskGroup() as group:
            for work in (
                self._read_version(),
                self._read_pods(),
                self._read_custom_objects(),
                self._read_network_policies(),
                self._read_daemon_sets(),
                self._read_services(),
                self._read_claiming_services(),
                self._read_events(),
                self._read("replica_sets", "replicasets", ReplicaSet, group="apps", namespace=own),
                self._read("deployments", "deployments", Deployment, group="apps", namespace=own),
            ):
                group.create_task(work)
            for namespace in self._existing(CONNECTIVITY_NAMESPACES):
                group.create_task(
                    self._read(
                        "controller_revisions",
                        "controllerrevisions",
                        ControllerRevision,
                        group="apps",
                        namespace=namespace,
                    )
                )
                if namespace != own:
                    group.create_task(
                        self._read("deployments", "deployments", Deployment, group="apps", namespace=namespace)
                    )
            for namespace, name in CONFIG_MAPS:
                if self._exists(namespace):
                    group.create_task(self._read_config_map(namespace, name))

    async def _read(self, field: str, resource: str, item_type: type[T], **where: Any) -> tuple[T, ...] | None:
        """List, and keep what was found under the snapshot's field."""
        items = await self.reader.list(resource, item_type, **where)
        self._keep(field, items or ())
        return items

    async def _read_version(self) -> None:
        read = ApiRead(path="/version")
        version = await self.reader.attempt("version", read, lambda: self._api.get("/version", _Version))
        self._version = version.gitVersion if version else ""

    async def _read_pods(self) -> None:
        """The namespace's pods and the nodes; then who shares those nodes, and the DNS pods wherever they are."""
        async with TaskGroup() as group:
            own = group.create_task(self._read("pods", "pods", Pod, namespace=self._namespace))
            nodes = group.create_task(self._read("nodes", "nodes", Node))
        own_pods = own.result() or ()
        asked = None if self._pod is None else asked_pods(own_pods, self._pod)
        in_scope = [pod for pod in own_pods if asked is None or pod.metadata.name in asked]
        await self._read_named_services(own_pods)
        own = sorted({pod.spec.node_name for pod in in_scope if pod.spec.node_name and not pod.is_finished})
        known = nodes.result()
        existing = sorted(node.metadata.name for node in known or ())
        named = [name for name in self._nodes if name in existing]
        others = existing if self._all_nodes else ()
        names = list(dict.fromkeys((*named, *own, *others)))[: self._most_nodes]
        if known is not None and len(known) <= SMALL_CLUSTER_NODES:
            everywhere = await self._read("node_pods", "pods", Pod, is_missed=False)
            if everywhere is not None:
                self._keep("dependency_pods", [pod for pod in everywhere if self._is_dependency(pod)])
                return
        await self._read_pods_by_parts(names)

    async def _read_named_services(self, pods: tuple[Pod, ...]) -> None:
        """Services of other namespaces that these pods are configured to dial."""
        await self._read_services_of_names(
            each.host
            for pod in pods
            for container in (*pod.spec.containers, *pod.spec.init_containers)
            for each in dialled(container)
        )

    async def _read_services_of_names(self, hosts: Iterable[str]) -> None:
        """Services of the other namespaces that names are of."""
        known = {self._namespace, *DNS_NAMESPACES}
        named = dict.fromkeys(
            labels[1]
            for host in hosts
            if len(labels := host.rstrip(".").split(".")) > 1 and labels[1] not in known and self._exists(labels[1])
        )
        async with TaskGroup() as tasks:
            for namespace in islice(named, MAX_NAMED_NAMESPACES):
                where = {"namespace": namespace, "is_missed": False}
                tasks.create_task(self._read("services", "services", Service, **where))
                tasks.create_task(
                    self._read("endpoint_slices", "endpointslices", EndpointSlice, group="discovery.k8s.io", **where)
                )

    async def _read_pods_by_parts(self, nodes: list[str]) -> None:
        async with TaskGroup() as group:
            for node in nodes:
                query = {"fieldSelector": f"spec.nodeName={node}"}
                group.create_task(self._read("node_pods", "pods", Pod, **query))
            for namespace in self._existing(DNS_NAMESPACES):
                for label in DNS_LABELS:
                    query = {"labelSelector": label}
                    group.create_task(self._read("dependency_pods", "pods", Pod, namespace=namespace, **query))
        shared = [pod for pod in self._found.get("node_pods", {}).values() if self._is_dependency(pod)]
        self._keep("dependency_pods", shared)

    def _is_dependency(self, pod: Pod) -> bool:
        return pod.metadata.namespace in CONNECTIVITY_NAMESPACES and pod.metadata.namespace != self._namespace

    async def _read_services(self) -> None:
        """Services and slices of the namespace, of DNS, and of the API itself; and what aliases lead to."""
        namespaces = dict.fromkeys([self._namespace, *self._existing(DNS_NAMESPACES)])
        group, kind = "discovery.k8s.io", "endpointslices"
        async with TaskGroup() as tasks:
            for namespace in namespaces:
                tasks.create_task(self._read("services", "services", Service, namespace=namespace))
                tasks.create_task(self._read("endpoint_slices", kind, EndpointSlice, group=group, namespace=namespace))
            if "default" not in namespaces:
                only = {"fieldSelector": "metadata.name=kubernetes"}
                tasks.create_task(self._read("services", "services", Service, namespace="default", **only))
                behind = {"labelSelector": "kubernetes.io/service-name=kubernetes"}
                tasks.create_task(
                    self._read("endpoint_slices", kind, EndpointSlice, group=group, namespace="default", **behind)
                )
        services: Iterable[Service] = self._found.get("services", {}).values()
        own = (each for each in services if each.metadata.namespace == self._namespace)
        await self._read_services_of_names(each.spec.external_name for each in own)

    async def _read_claiming_services(self) -> None:
        """Whoever may not list them all is not kept from a verdict: what they claim is unknown then."""
        every = await self.reader.list("services", Service, what="services of all namespaces", is_missed=False)
        if every is None:
            return
        addresses = Counter(each.spec.cluster_ip for each in every)
        self._claiming = tuple(
            each
            for each in every
            if each.spec.external_ips
            or each.status.load_balancer.ingress
            or (each.spec.cluster_ip not in {"", "None"} and addresses[each.spec.cluster_ip] > 1)
        )

    async def _read_network_policies(self) -> None:
        await self._everywhere_or_here("network_policies", "networkpolicies", NetworkPolicy, "networking.k8s.io")

    async def _read_daemon_sets(self) -> None:
        await self._everywhere_or_here("daemon_sets", "daemonsets", DaemonSet, "apps")

    async def _everywhere_or_here(self, field: str, resource: str, item_type: type[Any], group: str) -> None:
        """Of all namespaces, or where that is not allowed, of the diagnosed one."""
        what = f"{resource} of other namespaces"
        if await self._read(field, resource, item_type, group=group, what=what) is None:
            await self._read(field, resource, item_type, group=group, namespace=self._namespace)

    async def _read_config_map(self, namespace: str, name: str) -> None:
        path = api_path("configmaps", namespace=namespace, name=name)
        read = ApiRead(plural="configmaps", namespace=namespace, name=name)
        what = f"configmap {namespace}/{name}"
        found = await self.reader.attempt(what, read, lambda: self._api.get(path, ConfigMap))
        self._keep("config_maps", [found] if found else [])

    async def _read_events(self) -> None:
        """All events of the namespace, of nodes, and the warnings of the CNI's namespaces."""
        async with TaskGroup() as group:
            for namespace in dict.fromkeys([self._namespace, *self._existing(CONNECTIVITY_NAMESPACES)]):
                query = {} if namespace == self._namespace else {"fieldSelector": "type=Warning"}
                group.create_task(
                    self._read("events", "events", Event, namespace=namespace, max_items=MAX_EVENTS, **query)
                )
            if self._namespace != "default":
                query = {"fieldSelector": "involvedObject.kind=Node"}
                group.create_task(
                    self._read("events", "events", Event, namespace="default", max_items=MAX_EVENTS, **query)
                )

    async def _read_custom_objects(self) -> None:
        read = ApiRead(path="/apis")
        served = await self.reader.attempt("API groups", read, lambda: self._api.get("/apis", _GroupList))
        if served is None:
            return
        versions = {group.name: (group.preferred, *(one.version for one in group.versions)) for group in served.groups}
        async with TaskGroup() as group:
            for kind in CUSTOM_KINDS:
                group.create_task(self._read_custom_kind(kind, versions))

    async def _read_custom_kind(self, kind: CustomKind, served: Mapping[str, Sequence[str]]) -> None:
        name = next((name for name in kind.groups if name in served), None)
        if name is None:
            return
        versions = [one for one in kind.versions if one in served[name]] if kind.versions else served[name][:1]
        for version in versions:  # a group may have one for other kinds alone
            items = await self.reader.list(
                kind.plural,
                CustomObject,
                group=name,
                version=version,
                namespace=self._namespace if kind.of_namespace else "",
                is_optional=True,
            )
            if items is not None:
                self._custom[kind.plural] = items
                return

    def _exists(self, namespace: str) -> bool:
        """Whether the namespace is there; where nobody may say, only kube-system is worth asking."""
        return namespace in self._known if self._known is not None else namespace == "kube-system"

    def _existing(self, namespaces: tuple[str, ...]) -> list[str]:
        return [namespace for namespace in namespaces if self._exists(namespace)]

    def _keep(self, field: str, items: Any) -> None:
        """Add objects to a field, each once, whichever reads delivered it."""
        kept = self._found.setdefault(field, {})
        for item in items:
            meta = item.metadata
            kept[meta.uid or f"{meta.namespace}/{meta.name}"] = item

    def snapshot(self) -> Snapshot:
        """What was found so far, in a fixed order."""
        fields: dict[str, Any] = {name: tuple(sorted(kept.values(), key=_place)) for name, kept in self._found.items()}
        fields["events"] = tuple(sorted(fields.get("events", ()), key=_when)[-EVENTS_KEPT:])
        for name, clean in _CLEANERS.items():
            fields[name] = tuple(map(clean, fields.get(name, ())))
        return Snapshot(
            cluster=self._api.context,
            server_version=self._version,
            taken_at=self._started_at,
            namespace=self._namespace,
            custom_objects=dict(sorted(self._custom.items())),
            claiming_services=self._claiming,
            unobserved=_by_reason(self.reader.unobserved),
            **fields,
        )


class _Version(msgspec.Struct):
    gitVersion: str = ""  # noqa: N815 - Kubernetes' spelling


class _GroupVersion(msgspec.Struct):
    version: str = ""


class _Group(msgspec.Struct):
    name: str = ""
    preferredVersion: _GroupVersion = msgspec.field(default_factory=_GroupVersion)  # noqa: N815
    versions: tuple[_GroupVersion, ...] = ()

    @property
    def preferred(self) -> str:
        return self.preferredVersion.version


class _GroupList(msgspec.Struct):
    groups: tuple[_Group, ...] = ()


def _place(item: Any) -> tuple[str, str]:
    return item.metadata.namespace, item.metadata.name


def _when(event: Event) -> tuple[float, str]:
    seen = event.last_seen_at
    return seen.timestamp() if seen else 0.0, event.metadata.uid


def _by_reason(unobserved: list[Unobserved]) -> tuple[Unobserved, ...]:
    """In a fixed order; what one missing permission hides is said once."""
    merged: dict[tuple[str, str], list[Unobserved]] = {}
    for each in sorted(unobserved, key=lambda each: each.what):
        merged.setdefault((each.why, each.remedy), []).append(each)
    return tuple(
        Unobserved(
            what=", ".join(one.what for one in missed),
            why=why,
            remedy=remedy,
            kind="api",
            reads=tuple(read for one in missed for read in one.reads),
        )
        for (why, remedy), missed in merged.items()
    )
