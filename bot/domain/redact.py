"""Secrets struck out of text before anyone reads it: messages, pages and files show the mask instead.

It knows secrets by their form (private keys, JSON Web Tokens, the tokens of well-known services) and by what stands
before them ("password=", "Authorization:", "https://user:…@"). When in doubt it strikes: a lost word costs less than
a leaked one. Redact before cutting: half a token has the form of none. Every pattern is linear in the text's length.

Every sink passes here. An operator may have more struck out in one (`redact_more`), never less.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from re import Match
from typing import Literal, cast, get_args

MASK = "[redacted]"
Sink = Literal["slack", "terminal", "json", "markdown", "recording", "log", "page"]
"""Where text leaves us."""
SINKS: tuple[Sink, ...] = get_args(Sink)

_HINTS = (
    *(
        "pass",
        "pwd",
        "secret",
        "token",
        "credential",
        "key",
        "certificate-",
        "dockerconfig",
        "auth",
        "bearer",
        "cookie",
    ),
    *("code=", "sig", "x-amz", "://", "hooks.slack", " -u", "--user", "eyj", "ls0t", "-----b", "xox", "xapp", "aiza"),
    *("gh", "glpat", "ya29", "npm_", "k_live", "sk-", "hvs.", "k10"),
    *("akia", "asia", "abia", "acca", "agpa", "aida", "aroa", "anpa", "anva", "apka"),
)
"""Text without any of these (in lower case) and without `_BOOTSTRAP`, which is most text, holds nothing to strike."""

_BOOTSTRAP = re.compile(r"\b[a-z0-9]{6}\.(?=[a-z]{0,15}[0-9])[a-z0-9]{16}\b")
"""A token of kubeadm."""

_BY_FORM = (
    (
        r"-----BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----(?:(?!-----END )[\s\S])*"
        r"(?:-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----)?"
    ),
    r"LS0tLS1CRUdJTi[A-Za-z0-9+/=_-]*",  # "-----BEGIN" in base64: the data of a kubeconfig
    r"\beyJ[A-Za-z0-9_-]{8,}(?:\.[A-Za-z0-9_-]*){0,4}",  # JSON Web Tokens, and JSON in base64
    r"\bA(?:KI|SI|BI|CC|GP|ID|RO|NP|NV|PK)A[A-Z0-9]{16}\b(?:\s{0,3}[:,/]?\s{0,3}[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+]))?",
    r"\b(?:xox[a-z](?:\.xox[bp])?|xapp)-[A-Za-z0-9-]{8,}",
    r"\b(?:gh[a-z]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,})",
    r"\b(?:AIza[A-Za-z0-9_-]{30,}|ya29\.[A-Za-z0-9_-]{20,}|npm_[A-Za-z0-9]{30,})",
    r"\b(?:[sr]k_live_|sk-(?:ant-|proj-)?)[A-Za-z0-9_-]{16,}",
    r"\bhvs\.[A-Za-z0-9_-]{16,}",
    r"\bAGE-SECRET-KEY-1[A-Z0-9]{20,}",
    r"\bK10[0-9a-f]{20,}(?:::\S+)?",  # a node token of K3s or RKE2
)

_NAMES = (
    r"pass(?:word|wd|phrase|code)|pwd|secret(?:[ _-]?(?:access)?[ _-]?key)?|token|credentials?|"
    r"(?:api|access|account|private|preshared|shared[_-]?access|encryption|signing|client)[ _-]?key"
    r"(?:[_-]?id|[_-]data)?|client-certificate-data|certificate-authority-data|dockerconfigjson|"
    r"x-amz-(?:signature|security-token)"
)
"""What a secret is called, as the end of a name: DB_PASSWORD, client_secret, x-api-key."""

_OPEN = r"(?:\\?[\"'])?"
_IS = r"\s{0,3}(?::|=>|=)\s{0,3}"
_VALUE = (
    r"(?P<value>\\\"(?:[^\"\\]|\\(?!\"))*(?:\\\")?|\\'(?:[^'\\]|\\(?!'))*(?:\\')?|"  # quoted within a quoted text
    r"\"(?:[^\"\\]|\\.)*\"?|'[^']*'?|[^\s\"'`]+)"
)
_SCHEME = r"\b[a-z][a-z0-9+.-]{0,30}://"

_BY_NAME = (
    rf"(?P<name>authorization{_OPEN}{_IS}{_OPEN}(?:[a-z]+\s{{1,3}})?)(?P<value>[^\s\"'\\]+)",
    r"(?P<name>\b(?:set-)?cookie:\s{0,3})(?P<value>[^\s;]+(?:;\s?[^\s;]+)*)",
    r"(?P<name>\bbearer\s{1,3})(?=[a-z_.-]{0,200}[0-9+/=~]|[a-z_.-]{20})(?P<value>[a-z0-9._~+/=-]{6,})",
    rf"(?P<name>(?:{_NAMES}){_OPEN}{_IS}){_VALUE}",
    rf"(?P<name>--(?:[a-z0-9]{{1,30}}-){{0,3}}(?:{_NAMES})\s{{1,3}}){_VALUE}",
    r"(?P<name>\s(?:-u|--user)\s{1,3}[^\s:]{1,200}:)(?P<value>\S+)",
    r"(?P<name>[\"']auth[\"']\s{0,3}:\s{0,3})(?P<value>\"[^\"]*\"?|'[^']*'?)",
    r"(?P<name>[?&;](?:sig|auth|code|signature)=)(?P<value>[^\s&\"']+)",
    rf"(?P<name>{_SCHEME})(?P<value>[^\s/?#@\"'<>]{{0,256}}:[^\s/\"'<>]{{0,512}})(?=@)",
    rf"(?P<name>{_SCHEME})(?P<value>[^\s/?#@:\"'<>]{{16,512}})(?=@)",
    r"(?P<name>hooks\.slack\.com/(?:services|workflows|triggers)/)(?P<value>[^\s\"'<>|]+)",
)

_FORMS = re.compile("|".join(_BY_FORM))
_NAMED = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _BY_NAME)
_SECRET_NAME = re.compile(rf"(?:{_NAMES})$", re.IGNORECASE)
_ASSIGNED = re.compile(rf"{_OPEN}{_IS}")


_more: dict[Sink, tuple[re.Pattern[str], ...]] = {}


def redact_more(patterns: Mapping[Sink, Iterable[str]]) -> None:
    """From now on strike out in each of these sinks what its patterns match, too; secrets are struck out in all."""
    _more.clear()
    _more.update({sink: tuple(map(re.compile, some)) for sink, some in patterns.items()})


def redacted_in(sink: Sink) -> list[str]:
    """What is struck out there beside secrets."""
    return [pattern.pattern for pattern in _more.get(sink, ())]


def redact(text: str, sink: Sink | None = None) -> str:
    """The text with every secret that it shows replaced by the mask, and what this sink is not to show."""
    text = _without_secrets(text)
    for pattern in _more.get(sink, ()) if sink else ():
        text = pattern.sub(lambda match: MASK if match[0] else "", text)
    return text


def _without_secrets(text: str) -> str:
    text = _BOOTSTRAP.sub(MASK, text)
    lowered = text.lower()
    if not any(hint in lowered for hint in _HINTS):
        return text
    text = _FORMS.sub(MASK, text)
    for pattern in _NAMED:
        while (masked := pattern.sub(_masked, text)) != text:  # once more for a name that was part of a value
            text = masked
    return text


def _masked(match: Match[str]) -> str:
    """The name as it was, and the mask between the value's own quotes.

    A value that ends in another secret's name, with a value of its own behind it, leaves that name to be found next.
    """
    value = match["value"]
    name = _SECRET_NAME.search(value)
    if name and _ASSIGNED.match(match.string, match.end()):
        return f"{match['name']}{MASK} {name[0]}"
    quote = value[:2] if value.startswith(('\\"', "\\'")) else value[0] if value[0] in "\"'" else ""
    return f"{match['name']}{quote}{MASK}{quote}"


def redacted(value: object, sink: Sink | None = None) -> object:
    """JSON-like data with every text redacted, and whole values where their name is that of a secret."""
    if isinstance(value, str):
        return redact(value, sink)
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {key: MASK if _hides(key, item) else redacted(item, sink) for key, item in pairs}
    if isinstance(value, list | tuple):
        return [redacted(item, sink) for item in cast("Sequence[object]", value)]
    return value


def _hides(name: object, value: object) -> bool:
    return isinstance(name, str) and isinstance(value, str) and bool(value) and bool(_SECRET_NAME.search(name))
