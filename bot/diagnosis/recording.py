"""A recorded diagnosis: the evidence as a file, judged again by `cnibot replay` without a cluster.

Plain JSON, gzipped when the file's name ends in ".gz". It holds names, labels, addresses and rules of the cluster,
of pods' environment variables only the addresses in them; Secrets are never read in the first place.
"""

import gzip
import os
import zlib
from dataclasses import replace
from pathlib import Path

import msgspec

from bot.agent.report import NodeReport
from bot.agent.traced import NodeTrace, TraceFlow
from bot.cluster.snapshot.snapshot import Snapshot
from bot.domain.errors import ConfigurationError
from bot.domain.facts import Rung
from bot.domain.foreign import read_file
from bot.domain.redact import redacted
from bot.domain.report import Unobserved
from bot.probes.engine.evidence import Evidence

SCHEMA = "cnibot.recording/v1"
MAX_BYTES = 256 << 20
"""Of the file, packed and unpacked: a crafted archive must not eat the machine."""
_PIECE = 1 << 20


class FirstLook(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was seen before a second look."""

    snapshot: Snapshot
    reports: dict[str, NodeReport] = msgspec.field(default_factory=dict[str, NodeReport])
    rungs: dict[str, Rung] = msgspec.field(default_factory=dict[str, Rung])


class Recording(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The evidence in the form in which it is stored."""

    schema: str
    started_at: str
    took_s: float
    playbook: str = "namespace"
    access: Rung = Rung.API
    pod: str | None = None
    nodes_in_scope: tuple[str, ...] = ()
    exec_calls: int = 0
    rungs: dict[str, Rung] = msgspec.field(default_factory=dict[str, Rung])
    unobserved: tuple[Unobserved, ...] = ()
    snapshot: Snapshot
    reports: dict[str, NodeReport] = msgspec.field(default_factory=dict[str, NodeReport])
    traced: tuple[TraceFlow, ...] = ()
    traces: dict[str, NodeTrace] = msgspec.field(default_factory=dict[str, NodeTrace])
    first: FirstLook | None = None

    def evidence(self) -> Evidence:
        """The evidence as it was when it was recorded."""
        latest = self._evidence()
        if self.first is None:
            return latest
        before = replace(
            latest,
            snapshot=self.first.snapshot,
            reports=self.first.reports,
            rungs=self.first.rungs,
            exec_calls=0,
            traced=(),
            traces={},
        )
        return replace(latest, first=before)

    def _evidence(self) -> Evidence:
        return Evidence(
            snapshot=self.snapshot,
            reports=self.reports,
            rungs=self.rungs,
            access=self.access,
            pod=self.pod,
            nodes_in_scope=self.nodes_in_scope,
            exec_calls=self.exec_calls,
            unobserved=self.unobserved,
            traced=self.traced,
            traces=self.traces,
        )


def record(evidence: Evidence, *, started_at: str, took_s: float, playbook: str) -> Recording:
    """The recording of one diagnosis."""
    return Recording(
        schema=SCHEMA,
        started_at=started_at,
        took_s=took_s,
        playbook=playbook,
        access=evidence.access,
        pod=evidence.pod,
        nodes_in_scope=evidence.nodes_in_scope,
        exec_calls=evidence.exec_calls,
        rungs=dict(evidence.rungs),
        unobserved=evidence.unobserved,
        snapshot=evidence.snapshot,
        reports=dict(evidence.reports),
        traced=evidence.traced,
        traces=dict(evidence.traces),
        first=FirstLook(
            snapshot=evidence.first.snapshot, reports=dict(evidence.first.reports), rungs=dict(evidence.first.rungs)
        )
        if evidence.first
        else None,
    )


def save(recording: Recording, path: Path) -> None:
    """Write `path`, whole or not at all, without secrets and for its owner alone. Errors: `ConfigurationError`."""
    data = msgspec.json.encode(redacted(msgspec.json.decode(msgspec.json.encode(recording)), "recording"))
    if path.suffix == ".gz":
        data = gzip.compress(data, compresslevel=6, mtime=0)
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
        partial.replace(path)
    except OSError as error:
        raise ConfigurationError(str(path), f"writing failed: {error.strerror or error}") from error


def load(path: Path) -> Recording:
    """The recording in `path`. Errors: `ConfigurationError`."""
    try:
        data = read_file(path, MAX_BYTES)
    except OSError as error:
        raise ConfigurationError(str(path), f"reading failed: {error.strerror or error}") from error
    try:
        if data[:2] == b"\x1f\x8b":
            data = _unpacked(path, data)
        recording = msgspec.json.decode(data, type=Recording)
    except (msgspec.MsgspecError, zlib.error, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(str(path), f"it is not a recording of cnibot: {error}") from error
    if recording.schema != SCHEMA:
        raise ConfigurationError(str(path), f"it has the schema {recording.schema!r}; this version reads {SCHEMA!r}")
    return recording


def _unpacked(path: Path, data: bytes) -> bytes:
    """In pieces, so that what is too large is never there as a whole."""
    unpacker = zlib.decompressobj(wbits=31)
    plain = bytearray()
    while piece := unpacker.decompress(data, _PIECE):
        plain += piece
        if len(plain) > MAX_BYTES:
            raise ConfigurationError(str(path), f"it is larger than {MAX_BYTES >> 20} MiB when unpacked")
        data = unpacker.unconsumed_tail
    if not unpacker.eof:
        raise ConfigurationError(str(path), "it ends too early")
    return bytes(plain)
