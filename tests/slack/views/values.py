"""Any report: every field of every type, filled with text that means harm."""

from collections.abc import Mapping
from dataclasses import fields, replace
from enum import Enum
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from bot.domain.report import Report

SECRETS = {
    "password=hunter2-hunter2": "hunter2-hunter2",
    '{"client_secret": "s3cr3t with blanks"}': "s3cr3t with blanks",
    "Authorization: Bearer abcdefghij0123456789": "abcdefghij0123456789",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl": "eyJzdWIiOiIxIn0",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----": "MIIEpAIBAAKCAQEA",
    "AKIAIOSFODNN7EXAMPLE": "AKIAIOSFODNN7EXAMPLE",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "wJalrXUtnFEMI",
    "client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0tLQo=": "LS0tLS1CRUdJTi",
    "postgres://app:p4ssw0rd@db.shop.svc:5432/x": "p4ssw0rd",
    "xoxb-1234567890-abcdefghij": "1234567890-abcdefghij",
    "token=ab*st4rry-s3cret": "st4rry-s3cret",
}
"""Text that shows a secret, and what of it must not be seen."""

HOSTILE = (
    "<!channel> look",
    "<@U012AB3CD> <#C012AB3CD> <!subteam^S012AB3CD> <!here|x>",
    "<https://evil.example/?a=1&b=2|kubectl get pods>",
    "``` fences ``` and `ticks`",
    "*bold* _it_ ~gone~ > quote :100: 02:ab:cd:00:00:01",
    "\u202egnp.exe\u2066 \u200b\u200d\ufeff\u2028\u2029 \x00\x07\x1b[31m\r\n# head",
    "\U0001f469\u200d\U0001f4bb" * 200,
    "e\u0301" * 400,
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "\ud800 lone \udfff",
    "x" * 10_000,
    "&" * 3_000,
    "<" * 3_000,
    "a <b> & c " * 1_000,
    "\U0001f600" * 3_000,
    "not x: " + "y" * 500,
    "",
    " ",
)

_EVERY = (*HOSTILE, *SECRETS, *(f"{text} {secret}" for text in HOSTILE for secret in SECRETS))


def _text(number: int) -> str:
    return _EVERY[number]


texts = st.one_of(st.integers(0, len(_EVERY) - 1).map(_text), st.text(max_size=80))


_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: texts,
    int: st.integers(0, 10**9),
    float: st.floats(0, 1e9),
    bool: st.booleans(),
    type(None): st.none(),
}


def anything(kind: Any) -> st.SearchStrategy[Any]:
    """Every value that the type allows."""
    arguments = get_args(kind)
    match get_origin(kind):
        case None:
            return _PLAIN[kind] if kind in _PLAIN else _made(kind)
        case origin if origin is Literal:
            return st.sampled_from(arguments)
        case origin if origin in {Union, UnionType}:
            return st.one_of(*map(anything, arguments))
        case origin if origin in {dict, Mapping}:
            return st.dictionaries(anything(arguments[0]), anything(arguments[1]), max_size=2)
        case origin:
            return st.lists(anything(arguments[0]), max_size=4).map(origin)


def _made(kind: Any) -> st.SearchStrategy[Any]:
    """A member of an enumeration, or a dataclass of anything."""
    if issubclass(kind, Enum):
        return st.sampled_from(kind)
    hints = get_type_hints(kind)
    return st.builds(kind, **{one.name: anything(hints[one.name]) for one in fields(kind)})


def _grown(report: Report, times: int) -> Report:
    """Every list of it many times as long."""
    changes: dict[str, Any] = {}
    for one in fields(report):
        value: Any = getattr(report, one.name)
        if isinstance(value, tuple):
            changes[one.name] = cast("tuple[object, ...]", value) * times
    return replace(report, **changes)


reports: st.SearchStrategy[Report] = st.one_of(
    anything(Report), st.builds(_grown, anything(Report), st.sampled_from((3, 50, 1_000)))
)
