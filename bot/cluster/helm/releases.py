"""What Helm keeps of its releases: a Secret for each revision, with the chart, the values and all that was rendered.

They are read for a plan that rolls a release back, by whoever proposes it or carries it out, and for nothing else.
Whatever is in them is foreign: it is unpacked within bounds, and what is not as Helm writes it is an error.

Source: https://github.com/helm/helm pkg/storage/driver/secrets.go and util.go (JSON, gzip, base64; labels)
"""

import base64
import binascii
import hashlib
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import yaml

from bot.domain.errors import BotError
from bot.domain.plan import value_at

Object = Mapping[str, Any]
MAX_PAYLOAD = 32 << 20
"""Of one revision, unpacked."""
_MAX_NODES = 300_000
"""Values in one manifest, each counted as often as it is referred to."""
_GZIP = b"\x1f\x8b\x08"
PENDING = ("pending-install", "pending-upgrade", "pending-rollback")
GOOD = ("deployed", "superseded")
"""States of a revision that was deployed as a whole."""
KEEP = ("metadata", "annotations", "helm.sh/resource-policy")


class ReleaseUnreadableError(BotError):
    """A revision of a release is not as Helm writes it, or is too large."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} cannot be read: {why}.")


class _Metadata(msgspec.Struct):
    name: str = ""
    version: str = ""


class _Chart(msgspec.Struct):
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


class _Info(msgspec.Struct):
    status: str = ""
    description: str = ""


class Hook(msgspec.Struct, frozen=True):
    """An object that Helm makes at some moments of a release's life."""

    name: str = ""
    kind: str = ""
    events: tuple[str, ...] = ()


class _Payload(msgspec.Struct):
    name: str
    version: int
    namespace: str = ""
    manifest: str = ""
    apply_method: str = ""
    chart: _Chart = msgspec.field(default_factory=_Chart)
    info: _Info = msgspec.field(default_factory=_Info)
    config: dict[str, Any] | None = None
    hooks: tuple[Hook, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRevision:
    """One revision of a release."""

    release: str
    namespace: str
    number: int
    status: str
    description: str
    chart: str
    """The chart's name."""
    version: str
    """The chart's version."""
    manifest: str
    values: Mapping[str, Any]
    """What was given, without the chart's defaults."""
    hooks: Sequence[Hook]
    is_server_side: bool
    """Helm applied it by server-side apply."""
    payload_sha256: str
    manifest_sha256: str

    def __str__(self) -> str:
        return f"revision {self.number} of {self.namespace}/{self.release}"

    @property
    def is_pending(self) -> bool:
        """Whether Helm is at work on it, or was ended in the middle."""
        return self.status in PENDING


def secret_name(release: str, revision: int) -> str:
    """What the Secret of a revision is called."""
    return f"sh.helm.release.v1.{release}.v{revision}"


def stored_revision(secret: Object) -> StoredRevision:
    """The revision that is in the Secret. Errors: `ReleaseUnreadableError`."""
    what = f"Secret {value_at(secret, ('metadata', 'namespace'))}/{value_at(secret, ('metadata', 'name'))}"
    content = _unpacked(value_at(secret, ("data", "release")), what)
    try:
        found = msgspec.json.decode(content, type=_Payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ReleaseUnreadableError(what, "its content is no release of Helm 3 or 4") from error
    namespace = found.namespace or str(value_at(secret, ("metadata", "namespace")))
    if secret_name(found.name, found.version) != value_at(secret, ("metadata", "name")):
        raise ReleaseUnreadableError(what, "it holds another revision than its name says")
    return StoredRevision(
        release=found.name,
        namespace=namespace,
        number=found.version,
        status=found.info.status,
        description=found.info.description,
        chart=found.chart.metadata.name,
        version=found.chart.metadata.version,
        manifest=found.manifest,
        values=found.config or {},
        hooks=found.hooks or (),
        is_server_side=found.apply_method == "ssa",
        payload_sha256=hashlib.sha256(content).hexdigest(),
        manifest_sha256=hashlib.sha256(found.manifest.encode()).hexdigest(),
    )


def _unpacked(data: object, what: str) -> bytes:
    """Base64 by the API, base64 by Helm, and mostly gzip."""
    if not isinstance(data, str):
        raise ReleaseUnreadableError(what, "it has no field release")
    try:
        packed = base64.b64decode(base64.b64decode(data, validate=True), validate=True)
        if not packed.startswith(_GZIP):
            content = packed
        else:
            unpacking = zlib.decompressobj(wbits=31)
            content = unpacking.decompress(packed, MAX_PAYLOAD + 1)
            if len(content) <= MAX_PAYLOAD and not unpacking.eof:
                raise ReleaseUnreadableError(what, "it ends in the middle")
    except (binascii.Error, zlib.error, ValueError) as error:
        raise ReleaseUnreadableError(what, "it is not packed as Helm does it") from error
    if len(content) > MAX_PAYLOAD:
        raise ReleaseUnreadableError(what, f"unpacked it is larger than {MAX_PAYLOAD >> 20} MiB")
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """An object of a manifest."""

    api_version: str
    kind: str
    namespace: str
    """The release's where the manifest names none; of no meaning for what has no namespace."""
    name: str

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The same for the same object, whatever version of its API is named."""
        group, slash, _ = self.api_version.partition("/")
        return (group if slash else "", self.kind, self.namespace, self.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"


_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""By libyaml where it is there: rendered CRDs are megabytes."""


def objects_of(revision: StoredRevision) -> Mapping[Named, Object]:
    """What the revision rendered, without hooks. Errors: `ReleaseUnreadableError`."""
    return dict(_objects(revision))


def _objects(revision: StoredRevision) -> Iterator[tuple[Named, Object]]:
    what = f"The manifest of {revision}"
    left = _MAX_NODES
    try:
        found: list[Any] = [one for one in yaml.load_all(revision.manifest, _LOADER) if one is not None]
        for one in found:
            left -= _nodes(one, left)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ReleaseUnreadableError(what, "it is no YAML, or too much of it") from error
    for one in found:
        obj = cast("Object", one if isinstance(one, dict) else {})
        metadata = value_at(obj, ("metadata",))
        name = value_at(obj, ("metadata", "name"))
        if not isinstance(metadata, dict) or not isinstance(name, str):
            raise ReleaseUnreadableError(what, "it holds something that is no object")
        namespace = str(value_at(obj, ("metadata", "namespace")) or revision.namespace)
        version, kind = str(obj.get("apiVersion", "")), str(obj.get("kind", ""))
        yield Named(api_version=version, kind=kind, namespace=namespace, name=name), obj


def _nodes(value: Any, most: int) -> int:
    """How many values there are in it. Errors: `ValueError`: more than `most`; aliases may repeat themselves."""
    count = 1
    inner: Sequence[Any] = ()
    if isinstance(value, dict):
        inner = list(cast("dict[Any, Any]", value).values())
    elif isinstance(value, list):
        inner = cast("list[Any]", value)
    for one in inner:
        if count > most:
            break
        count += _nodes(one, most - count)
    if count > most:
        message = "too many values"
        raise ValueError(message)
    return count
