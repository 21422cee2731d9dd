"""Request bodies: JSON or YAML, of the right kind, and without fields that the kind does not have."""

import json
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import yaml
from aiohttp import StreamReader

from bot.lab.cluster.apiserver.errors import ApiError, bad_request
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.kubectl import protobuf
from bot.lab.cluster.apiserver.store import schema

_YAML = frozenset({"application/yaml", "application/apply-patch+yaml", "application/x-yaml"})
MAX_BYTES = 3 * 1024 * 1024
"""The real server's limit for a request body."""


class _Loader(yaml.CSafeLoader):
    """YAML without dates: a Kubernetes timestamp is a string."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


async def read(content: StreamReader) -> bytes:
    """A whole request body; raises 413 for one that is too large."""
    raw = bytearray()
    async for chunk in content.iter_any():
        raw += chunk
        if len(raw) > MAX_BYTES:
            raise ApiError(413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BYTES}")
    return bytes(raw)


def decode(raw: bytes, content_type: str, kind: str) -> dict[str, Any]:
    """The object in a body; raises 400 or 415."""
    media = content_type.partition(";")[0].strip() or "application/json"
    if media not in {"application/json", protobuf.MEDIA_TYPE, *_YAML} and not media.endswith("+json"):
        accepted = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        message = f"the body of the request was in an unknown format - accepted media types include: {accepted}"
        raise ApiError(415, "UnsupportedMediaType", message)
    if media == protobuf.MEDIA_TYPE:
        return protobuf.decode(raw)
    document = _yaml(raw) if media in _YAML else _json(raw, kind)
    if not isinstance(document, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind})")
    return cast("dict[str, Any]", document)


def _yaml(raw: bytes) -> Any:
    try:
        return yaml.load(raw, _Loader)  # noqa: S506 - derived from the safe loader
    except (yaml.YAMLError, RecursionError) as error:
        raise bad_request(f"error converting YAML to JSON: {str(error).splitlines()[0]}") from None


def _json(raw: bytes, kind: str) -> Any:
    try:
        return msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        shown = raw[:256].decode(errors="replace")
        message = (
            f"the object provided is unrecognized (must be of type {kind}): couldn't get version/kind; "
            f"json parse error: {go_error(raw)} ({shown})"
        )
        raise bad_request(message) from None


def go_error(raw: bytes) -> str:
    """What Go's decoder would say."""
    text = raw.decode(errors="replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        if error.pos < len(text.rstrip()) and "Unterminated" not in error.msg:
            return f"invalid character '{text[error.pos]}' looking for beginning of value"
    except RecursionError:
        return "exceeded max depth"
    return "unexpected end of JSON input"


def unknown_fields(resource: Resource, obj: Mapping[str, Any]) -> list[str]:
    """Dotted paths of fields that the kind does not have, such as `spec.containers[0].imagee`."""
    found: list[str] = []
    _unknown(schema.of_kind(resource.api_version, resource.kind), obj, "", found)
    return found


def _unknown(shape: schema.Shape, value: Any, path: str, found: list[str]) -> None:
    match value:
        case dict():
            _unknown_in_map(shape, cast("dict[str, Any]", value), path, found)
        case list() if isinstance(shape, Mapping) and "items" in shape:
            for index, item in enumerate(cast("list[Any]", value)):
                _unknown(shape["items"], item, f"{path}[{index}]", found)
        case _:
            pass


def _unknown_in_map(shape: schema.Shape, value: Mapping[str, Any], path: str, found: list[str]) -> None:
    known = schema.struct_of(shape)
    if known is None:
        values = shape.get("values") if isinstance(shape, Mapping) else None
        for key, item in value.items() if values else ():
            _unknown(cast("schema.Shape", values), item, f"{path}.{key}" if path else key, found)
        return
    for key, item in value.items():
        where = f"{path}.{key}" if path else key
        if key not in known.fields:
            found.append(where)
        else:
            _unknown(known.fields[key], item, where, found)


def drop_unknown(resource: Resource, obj: dict[str, Any]) -> None:
    """Take unknown fields away, as decoding into a Go struct does."""
    _drop(schema.of_kind(resource.api_version, resource.kind), obj)


def _drop(shape: schema.Shape, value: Any) -> None:
    match value:
        case dict():
            entries = cast("dict[str, Any]", value)
            known = schema.struct_of(shape)
            if known is not None:
                for key in [key for key in entries if key not in known.fields]:
                    del entries[key]
            for key, item in entries.items():
                inner = known.fields[key] if known else _inner(shape, "values")
                _drop(inner, item)
        case list():
            for item in cast("list[Any]", value):
                _drop(_inner(shape, "items"), item)
        case _:
            pass


def _inner(shape: schema.Shape, key: str) -> schema.Shape:
    return schema.DEDUCED if isinstance(shape, str) else shape.get(key, schema.DEDUCED)


def validated(resource: Resource, obj: dict[str, Any], directive: str) -> tuple[str, ...]:
    """The warnings about a body; raises 400 when `fieldValidation=Strict` meets an unknown field.

    Fields of built-in kinds that do not exist are dropped. The default is `Warn`, as on the real server.
    """
    if directive not in {"", "Ignore", "Warn", "Strict"}:
        message = f'Invalid value: "{directive}": fieldValidation parameter must be one of Ignore, Warn, Strict'
        raise ApiError(422, "Invalid", message)
    if resource.custom:
        return ()
    faults = [f'unknown field "{path}"' for path in unknown_fields(resource, obj)]
    if faults and directive == "Strict":
        shown = ", ".join(faults)
        raise bad_request(
            f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: '
            f"strict decoding error: {shown}"
        )
    if faults:
        drop_unknown(resource, obj)
    return () if directive == "Ignore" else tuple(faults)
