"""The only place that changes somebody's objects in a cluster, one step of an approved plan at a time.

Each write is conditional: a patch names the resourceVersion at which the former value was read, a deletion the uid. So
of two writers one loses, and a write that arrives late changes nothing.
"""

import asyncio
import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from bot.cluster.access.exec import run_in_pod
from bot.cluster.client.api import MAX_ITEMS, Api
from bot.cluster.client.paths import api_path
from bot.cluster.helm.program import roll_back_release
from bot.cluster.helm.releases import StoredRevision, secret_name, stored_revision
from bot.domain.errors import ExecError, NotFoundError, OverloadedError, bounded
from bot.domain.plan import (
    MADE_BY,
    Change,
    Create,
    Delete,
    Evict,
    HelmRollback,
    ReleaseRevision,
    Remove,
    Replace,
    Restart,
    Target,
    value_at,
)
from bot.domain.redact import redact

Object = Mapping[str, Any]
FIELD_MANAGER = "cnibot"
_MADE_BY = ("metadata", "annotations", MADE_BY)
_COMMAND_S = 10.0
_COMMAND_BYTES = 1 << 20
_TOO_MANY = 429
"""What the Eviction API answers where a PodDisruptionBudget allows no eviction now."""

_HELM_MARGIN_S = 60.0
"""What Helm may take beside its hooks."""

Standing = Literal["before", "after", "other", "pending"]
"""How an object stands to a change: as before it, as after it, neither, or on its way (Helm is at work)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """How the target of a change stands, as just read."""

    standing: Standing
    why: str = ""
    """What is other than it should be, as the end of a sentence."""
    obj: Object | None = None
    """None: it does not exist."""
    pods: Sequence[Object] = ()
    """Those that are still to be evicted."""


class Writer:
    """Reads and writes with the credentials of whoever carries plans out."""

    def __init__(self, api: Api, *, helm: str = "helm") -> None:
        self._api = api
        self._helm = helm

    async def read(self, path: str) -> Object | None:
        """The object, or None. Errors: `BotError`: not known."""
        try:
            return await self._api.get(path, dict[str, Any])
        except NotFoundError:
            return None

    async def items(self, path: str, *, node: str = "") -> Sequence[Object]:
        """A list's objects; of pods those on this node alone, where one is named."""
        query = {"fieldSelector": f"spec.nodeName={node}"} if node else dict[str, str]()
        return (await self._api.list_all(path, dict[str, Any], max_items=MAX_ITEMS, **query)).items

    async def said(self, pod: Object, container: str, argv: Sequence[str]) -> bytes:
        """What a command prints in a pod, one that reads only. Errors: `BotError`, also where it fails."""
        metadata = pod["metadata"]
        where, name = str(metadata["namespace"]), str(metadata["name"])
        done = await run_in_pod(
            self._api, where, name, container, argv, deadline_s=_COMMAND_S, max_bytes=_COMMAND_BYTES
        )
        if done.exit_code:
            raise ExecError(f"{where}/{name}", f"{argv[0]}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    async def pods_of(self, owner: Target, node: str) -> Sequence[Object]:
        """A DaemonSet's pods on a node; none where there is no such DaemonSet."""
        found = await self.read(owner.path)
        if found is None:
            return ()
        path = api_path("pods", namespace=owner.namespace)
        pods = await self.items(path, node=node)
        uid = found["metadata"]["uid"]
        return [one for one in pods if (controller_of(one) or {}).get("uid") == uid]

    async def is_healthy(self) -> str:
        """Why the API server is not to be trusted with a change now; "" when it is."""
        body = await self._api.raw("/readyz")
        return "" if body.strip() == b"ok" else "The API server says that it is not ready."

    async def version(self) -> str:
        """Of the API server: "v1.36.2"."""
        return str((await self._api.get("/version", dict[str, Any])).get("gitVersion", ""))

    async def history(self, release: str, namespace: str) -> Sequence[StoredRevision]:
        """The revisions of a Helm release that are kept, newest first.

        Errors: `ForbiddenError`: they are in Secrets; `ReleaseUnreadableError`, `BotError`.
        """
        path = api_path("secrets", namespace=namespace)
        listed = await self._api.list_all(path, dict[str, Any], labelSelector=f"owner=helm,name={release}")
        found = await asyncio.to_thread(lambda: [stored_revision(one) for one in listed.items])
        return sorted(found, key=lambda one: -one.number)

    async def resource(self, api_version: str, kind: str) -> tuple[str, bool] | None:
        """The plural of a kind, and whether its objects are in namespaces; None: the server has no such kind."""
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        listed = await self.read(path)
        kinds: Sequence[Mapping[str, Any]] = (listed or {}).get("resources") or ()
        for one in kinds:
            if one.get("kind") == kind and "/" not in one["name"]:
                return str(one["name"]), bool(one.get("namespaced"))
        return None

    async def look(self, change: Change) -> Seen:
        """How the target stands to the change."""
        if isinstance(change, HelmRollback):
            return await self._look_at_release(change)
        if isinstance(change, Evict):
            pods = await self.items(api_path("pods"), node=change.target.name)
            return seen_on_node(change, pods)
        return seen(change, await self.read(change.target.path))

    async def _look_at_release(self, change: HelmRollback) -> Seen:
        """Helm numbers its revisions without gaps: what came after the newest one says what became of it."""
        release, number = str(change), change.present.number + 1
        if await self._revision(change, number + 1):
            return Seen(standing="other", why=f"{release} was changed by somebody else: it has revision {number + 1}")
        made = await self._revision(change, number)
        if made is None:
            present, chosen = [await self._revision(change, one.number) for one in (change.present, change.chosen)]
            if _is_still(change.present, present) and _is_still(change.chosen, chosen):
                return Seen(standing="before")
            return Seen(standing="other", why=f"what Helm keeps of {release} was changed by somebody else")
        state = f"revision {number} of {release} is {made.status} ({bounded(redact(made.description), 200)})"
        if made.is_pending:
            return Seen(standing="pending", why=state)
        if made.status == "deployed" and made.manifest_sha256 == change.chosen.manifest:
            return Seen(standing="after")
        is_other = made.manifest_sha256 != change.chosen.manifest
        tail = f", and it is not what revision {change.chosen.number} was" if is_other else ""
        return Seen(standing="other", why=state + tail)

    async def _revision(self, change: HelmRollback, number: int) -> StoredRevision | None:
        name = secret_name(change.release, number)
        secret = await self.read(api_path("secrets", namespace=change.namespace, name=name))
        return await asyncio.to_thread(stored_revision, secret) if secret else None

    async def write(self, change: Change, found: Seen, *, is_dry_run: bool = False) -> Object | None:
        """The object after the change, which was found as `before`; only if nobody has changed it since.

        Errors: `ConflictError`: somebody has. After `ServerError`, `OverloadedError` (but 429), `DeadlineError` and
        `UnreachableError` it may have happened, and only `look` tells. After `HelmFailedError` as well, unless it was
        a dry run; but then nobody is at it any longer.
        """
        assert found.standing == "before"
        if isinstance(change, HelmRollback):
            await self._roll_back(change, is_dry_run=is_dry_run)
            return None
        if isinstance(change, Evict):
            await self._evict_all(() if is_dry_run else found.pods)
            return None
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if is_dry_run else {})
        if isinstance(change, Create):
            collection = change.target.path.rpartition("/")[0]
            return await self._api.create(collection, change.manifest, dict[str, Any], **query)
        assert found.obj is not None
        if isinstance(change, Replace):
            return await self._api.patch(change.target.path, operations(change, found.obj), dict[str, Any], **query)
        await self._delete(change, found.obj, is_dry_run=is_dry_run)
        return None

    async def _delete(self, change: Remove | Delete | Restart, obj: Object, *, is_dry_run: bool) -> None:
        assert not isinstance(change, Restart), "it is a deletion by the time it is written"
        if isinstance(change, Remove):
            uid = obj["metadata"]["uid"]
            await self._api.delete(change.target.path, uid=uid, is_dry_run=is_dry_run, takes_dependents=True)
        elif change.is_eviction:
            await self._api.evict(change.target.path, uid=change.target.uid, is_dry_run=is_dry_run)
        else:
            await self._api.delete(change.target.path, uid=change.target.uid, is_dry_run=is_dry_run)

    async def _roll_back(self, change: HelmRollback, *, is_dry_run: bool) -> None:
        await roll_back_release(
            self._helm,
            self._api.access,
            change.release,
            change.chosen.number,
            namespace=change.namespace,
            timeout_s=change.timeout_s,
            deadline_s=change.timeout_s * max(1, change.hooks) + _HELM_MARGIN_S,
            is_dry_run=is_dry_run,
        )

    async def _evict_all(self, pods: Sequence[Object]) -> None:
        """Those whose PodDisruptionBudgets allow it now; the others stay for the next time."""
        for pod in pods:
            metadata = pod["metadata"]
            if metadata.get("deletionTimestamp"):
                continue
            path = api_path("pods", namespace=metadata["namespace"], name=metadata["name"])
            try:
                await self._api.evict(path, uid=metadata["uid"])
            except OverloadedError as error:
                if error.status != _TOO_MANY:
                    raise
            except NotFoundError:
                continue


def controller_of(obj: Object) -> Mapping[str, Any] | None:
    """The reference to whoever makes the object again."""
    references: Sequence[Mapping[str, Any]] = value_at(obj, ("metadata", "ownerReferences")) or ()
    return next((one for one in references if one.get("controller")), None)


def has_pod_address(pod: Object) -> bool:
    """Whether the pod has, or will get, an address of a CNI, and runs."""
    return not value_at(pod, ("spec", "hostNetwork")) and value_at(pod, ("status", "phase")) not in {
        "Succeeded",
        "Failed",
    }


def seen_on_node(change: Evict, pods: Sequence[Object]) -> Seen:
    """Which of a node's pods are still to be evicted."""
    left = [pod for pod in pods if has_pod_address(pod) and _is_meant(change, pod)]
    bare = [pod for pod in left if controller_of(pod) is None]
    if bare:
        metadata = bare[0]["metadata"]
        why = f"nobody would make {metadata['namespace']}/{metadata['name']} on {change.target.name} again"
        return Seen(standing="other", why=why, pods=left)
    return Seen(standing="before" if left else "after", pods=left)


def _is_meant(change: Evict, pod: Object) -> bool:
    if change.which == "moving":
        return (controller_of(pod) or {}).get("kind") != "DaemonSet"
    address = str(value_at(pod, ("status", "podIP")) or "")
    if not address:
        return False
    is_new = ipaddress.ip_address(address) in ipaddress.ip_network(change.pod_range)
    return is_new == (change.which == "new")


def revision_of(stored: StoredRevision) -> ReleaseRevision:
    """A revision as a plan names it."""
    return ReleaseRevision(
        number=stored.number,
        chart=f"{stored.chart} {stored.version}",
        payload=stored.payload_sha256,
        manifest=stored.manifest_sha256,
    )


def _is_still(planned: ReleaseRevision, stored: StoredRevision | None) -> bool:
    return stored is not None and stored.payload_sha256 == planned.payload


def seen(change: Change, obj: Object | None) -> Seen:
    """How an object, as read, stands to the change."""
    assert not isinstance(change, Restart | Evict | HelmRollback), "the journal, nodes and releases say that"
    if isinstance(change, Create | Remove):
        return _made(change, obj)
    target = change.target
    uid = value_at(obj or {}, ("metadata", "uid"))
    if isinstance(change, Delete):
        is_gone = obj is None or uid != target.uid or value_at(obj, ("metadata", "deletionTimestamp")) is not None
        return Seen(standing="after" if is_gone else "before", obj=obj)
    is_same = value_at(obj or {}, _MADE_BY) == change.made_by if change.made_by else uid == target.uid
    if obj is None or not is_same:
        why = f"{target} no longer exists" if obj is None else f"{target} was deleted and made again"
        return Seen(standing="other", why=why, obj=obj)
    value = value_at(obj, change.field)
    if value == change.after:
        return Seen(standing="after", obj=obj)
    if value == change.before:
        return Seen(standing="before", obj=obj)
    return Seen(standing="other", why=f"{'.'.join(change.field)} of {target} was changed by somebody else", obj=obj)


def _made(change: Create | Remove, obj: Object | None) -> Seen:
    """How an object stands to the plan that makes it, or takes it away again."""
    is_new = isinstance(change, Create)
    if obj is None:
        return Seen(standing="before" if is_new else "after")
    made_by = change.reversed().made_by if isinstance(change, Create) else change.made_by
    if value_at(obj, _MADE_BY) != made_by:
        return Seen(standing="other", why=f"{change.target} exists, and this plan did not make it", obj=obj)
    if value_at(obj, ("metadata", "deletionTimestamp")) is None:
        return Seen(standing="after" if is_new else "before", obj=obj)
    if is_new:
        return Seen(standing="other", why=f"{change.target} is being deleted", obj=obj)
    return Seen(standing="after", obj=obj)


def operations(change: Replace, obj: Object) -> list[dict[str, Any]]:
    """The JSON patch that makes the change of an object as it was read, and of no other version of it."""
    version = value_at(obj, ("metadata", "resourceVersion"))
    condition = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
    return [condition, *_change(change, obj)]


def _change(change: Replace, obj: Object) -> Iterator[dict[str, Any]]:
    if change.after is None:
        yield {"op": "remove", "path": _pointer(change.field)}
        return
    there = next(
        length for length in range(len(change.field), -1, -1) if not length or value_at(obj, change.field[:length])
    )
    depth = min(there + 1, len(change.field))
    value = change.after
    for part in reversed(change.field[depth:]):
        value = {part: value}
    yield {"op": "add", "path": _pointer(change.field[:depth]), "value": value}


def _pointer(field: Sequence[str]) -> str:
    """RFC 6901."""
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in field)


def target_of(obj: Object, kind: str, path: str) -> Target:
    """The object as a plan names it."""
    metadata: Mapping[str, Any] = obj["metadata"]
    return Target(
        kind=kind,
        path=path,
        name=metadata["name"],
        namespace=metadata.get("namespace", ""),
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
    )
