"""Lists: selection, order, pages that together are one consistent snapshot, and exact or minimum versions."""

import base64
import binascii
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from bot.lab.cluster.apiserver.errors import ApiError, bad_request, expired, invalid_query
from bot.lab.cluster.apiserver.store.history import Record

if TYPE_CHECKING:
    from bot.lab.cluster.apiserver.store.storage import Storage

_TOO_OLD = "The resourceVersion for the provided list is too old."
_PAGE_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)
INCONSISTENT = -1
"""In a continue token: whatever version is there when the next page is read."""


class Page(NamedTuple):
    """One page of a list."""

    records: list[Record]
    revision: int
    next_token: str
    remaining: int | None
    """How many are left, where that can be told (no selector)."""


class _Token(NamedTuple):
    revision: int
    start: str


def encode_token(revision: int, start: str) -> str:
    """A continue token; `start` is the first key of the next page."""
    document = {"v": "meta.k8s.io/v1", "rv": revision, "start": start}
    return base64.urlsafe_b64encode(msgspec.json.encode(document)).rstrip(b"=").decode()


def _decode_token(text: str) -> _Token:
    prefix = "invalid continue token: continue key is not valid:"
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise bad_request(f"{prefix} illegal base64 data at input byte {len(text) - len(text) % 4}") from None
    try:
        document = msgspec.json.decode(raw, type=dict[str, str | int])
        return _Token(int(document["rv"]), str(document["start"]))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        shown = raw[:1].decode(errors="replace")
        message = f"{prefix} invalid character '{shown}' looking for beginning of value"
        raise bad_request(message) from None
    except (KeyError, ValueError):
        raise bad_request(f"{prefix} incorrect encoded resourceVersion in token") from None


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    try:
        return int(text or "0")
    except ValueError:
        raise bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None


def _revision(query: Mapping[str, str]) -> int | None:
    text = query.get("resourceVersion", "")
    if not text:
        return None
    if not text.isdigit():
        raise invalid_query("resourceVersion", text)
    return int(text)


def page(storage: "Storage", resource: str, namespace: str, query: Mapping[str, str]) -> Page:
    """The page that a list request asks for; raises 400 and 410."""
    labels, fields = query.get("labelSelector", ""), query.get("fieldSelector", "")
    accepts = storage.predicate(resource, labels=labels, fields=fields)
    limit = _number(query, "limit")
    items, revision, start = _snapshot(storage, resource, query)
    low, high = (f"{namespace}/", f"{namespace}0") if namespace else ("", "\U0010ffff")
    keys = [key for key in items if low <= key < high and key >= start]
    records: list[Record] = []
    for index, key in enumerate(keys):
        if limit and len(records) == limit:
            if not any(accepts(items[rest].obj) for rest in keys[index:]):
                break
            counted = None if labels or fields else len(keys) - index
            return Page(records, revision, encode_token(revision, key), counted)
        if accepts(items[key].obj):
            records.append(items[key])
    return Page(records, revision, "", None)


def _snapshot(storage: "Storage", resource: str, query: Mapping[str, str]) -> tuple[dict[str, Record], int, str]:
    """The objects in order, of which version they are, and from which key on."""
    collection = storage.collection(resource)
    if text := query.get("continue", ""):
        token = _decode_token(text)
        if token.revision == INCONSISTENT:
            return dict(collection.select(None)), storage.revision, token.start
        if token.revision < collection.compacted:
            raise expired(_PAGE_TOO_OLD, encode_token(INCONSISTENT, token.start))
        return dict(sorted(collection.at(token.revision).items())), token.revision, token.start
    wanted, match = _revision(query), query.get("resourceVersionMatch", "")
    _check_match(wanted, match)
    if wanted and wanted > storage.revision:
        raise _too_large(wanted, storage.revision)
    if wanted and match == "Exact":
        try:
            return dict(sorted(collection.at(wanted).items())), wanted, ""
        except ApiError:
            raise expired(_TOO_OLD) from None
    return dict(collection.select(None)), storage.revision, ""


def _check_match(wanted: int | None, match: str) -> None:
    if match and match not in {"Exact", "NotOlderThan"}:
        shown = f'Unsupported value: "{match}": supported values: "Exact", "NotOlderThan", ""'
        raise invalid_query("resourceVersionMatch", match, shown)
    if match and wanted is None:
        message = "Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided"
        raise invalid_query("resourceVersionMatch", match, message)
    if match == "Exact" and wanted == 0:
        message = 'Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"'
        raise invalid_query("resourceVersionMatch", match, message)


def _too_large(wanted: int, present: int) -> ApiError:
    message = f"Too large resource version: {wanted}, current: {present}"
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    details = {"causes": [cause], "retryAfterSeconds": 1}
    return ApiError(504, "Timeout", message, details)
