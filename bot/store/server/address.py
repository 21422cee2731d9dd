"""Where the store is: its URL, taken apart. User names and passwords never leave it by way of an error or a log."""

import re
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from bot.domain.errors import ConfigurationError

SETTING = "CNIBOT_REDIS_URL"
FORMS = (
    "redis://[USER:PASSWORD@]HOST[:PORT][/DB], rediss://… (TLS), unix:///PATH, or "
    "redis+sentinel://[USER:PASSWORD@]HOST[:PORT][,HOST…]/MASTER[/DB] (rediss+sentinel://… for TLS)"
)

_TLS_OPTIONS = {"ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "ssl_cert_reqs"}
_SENTINEL_OPTIONS = {"sentinel_username", "sentinel_password"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A store's address. `where` is what may be shown."""

    kind: Literal["tcp", "unix", "sentinel"]
    where: str
    hosts: tuple[tuple[str, int], ...] = ()
    """One server, or the sentinels."""
    path: str = ""
    """Of the Unix socket."""
    master: str = ""
    """The name that sentinels know the servers by."""
    db: int = 0
    tls: bool = False
    username: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    options: dict[str, str] = field(default_factory=dict[str, str], repr=False)

    def client_arguments(self) -> dict[str, Any]:
        """Arguments of the client that concern who we are, which database, and TLS."""
        found: dict[str, Any] = {"db": self.db, "username": self.username, "password": self.password}
        if self.tls:
            found |= {"ssl": True, "ssl_check_hostname": self.options.get("ssl_cert_reqs") != "none"}
            found |= {name: value for name, value in self.options.items() if name in _TLS_OPTIONS}
        return found

    def sentinel_arguments(self) -> dict[str, Any]:
        """The same for the sentinels, which have a user name and password of their own, or none."""
        found = {name: value for name, value in self.client_arguments().items() if name.startswith("ssl")}
        found["username"] = self.options.get("sentinel_username")
        found["password"] = self.options.get("sentinel_password")
        return found


def parse(url: str) -> Address:
    """The address in `url`. Errors: `ConfigurationError`, which repeats nothing of it: any part may be a secret."""
    try:
        split = _split(url.strip())
        options = _options(split)
        scheme = split.scheme.lower()
        if scheme == "unix":
            return _unix(split, options)
        if scheme in {"redis", "rediss"}:
            return _tcp(split, options)
        if scheme in {"redis+sentinel", "rediss+sentinel"}:
            return _sentinel(split, options)
        why = f"it must look like {FORMS}"
    except _UrlError as error:
        why = str(error)
    except ValueError:  # its words would repeat parts of the URL
        why = f"it must look like {FORMS}; special characters of a password are written as %XX"
    raise ConfigurationError(SETTING, why)


def _split(url: str) -> SplitResult:
    """As `urlsplit`, which newer versions of Python let take no list of hosts with an IPv6 address in it."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return urlsplit(url)
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    return urlsplit(f"{scheme}://{rest[len(authority) :]}")._replace(netloc=authority)


class _UrlError(Exception):
    """A sentence about the URL that holds nothing of it."""


def _options(split: SplitResult) -> dict[str, str]:
    options = dict(parse_qsl(split.query, keep_blank_values=True))
    known = {"db"} | _TLS_OPTIONS | _SENTINEL_OPTIONS
    if options.keys() - known or split.fragment:
        raise _UrlError(
            f"it has an unknown option behind its ? or #; known are {', '.join(sorted(known))}. "
            "In a password these characters are written as %3F and %23"
        )
    return options


def _db(path: str, options: dict[str, str]) -> int:
    text = options.get("db") or path.strip("/") or "0"
    if not (text.isascii() and text.isdigit()):
        raise _UrlError("its database must be a number; in a password, / is written as %2F")
    return int(text)


def _host(text: str, default_port: int) -> tuple[str, int]:
    """What "redis", "redis:6379" or "[::1]:6379" means."""
    split = urlsplit(f"//{text}")
    host = split.hostname
    if not host:
        raise _UrlError(f"it names no host; it must look like {FORMS}")
    return unquote(host), split.port or default_port


def _user(split: SplitResult) -> tuple[dict[str, Any], str]:
    """User name and password; and the rest of the authority."""
    userinfo, at, hosts = split.netloc.rpartition("@")
    if not at:
        return {}, hosts
    name, _, password = userinfo.partition(":")
    return {"username": unquote(name) or None, "password": unquote(password) or None}, hosts


def _shown(host: tuple[str, int]) -> str:
    return f"[{host[0]}]:{host[1]}" if ":" in host[0] else f"{host[0]}:{host[1]}"


def _tcp(split: SplitResult, options: dict[str, str]) -> Address:
    user, hosts = _user(split)
    host = _host(hosts, 6379)
    db = _db(split.path, options)
    scheme = split.scheme.lower()
    return Address(
        kind="tcp",
        where=f"{scheme}://{_shown(host)}/{db}",
        hosts=(host,),
        db=db,
        tls=scheme == "rediss",
        options=options,
        **user,
    )


def _unix(split: SplitResult, options: dict[str, str]) -> Address:
    user, rest = _user(split)
    path = unquote(split.path)
    if rest or not path.startswith("/"):
        raise _UrlError("the path of its socket must be absolute: unix:///run/redis/redis.sock")
    return Address(kind="unix", where=f"unix://{path}", path=path, db=_db("", options), options=options, **user)


def _sentinel(split: SplitResult, options: dict[str, str]) -> Address:
    user, hosts = _user(split)
    master, _, db = split.path.strip("/").partition("/")
    if not master:
        raise _UrlError("it names no master; it must look like redis+sentinel://HOST:26379,HOST:26379/MASTER")
    sentinels = tuple(_host(host, 26379) for host in hosts.split(","))
    number = _db(db, options)
    scheme = split.scheme.lower()
    return Address(
        kind="sentinel",
        where=f"{scheme}://{','.join(map(_shown, sentinels))}/{master}/{number}",
        hosts=sentinels,
        master=unquote(master),
        db=number,
        tls=scheme.startswith("rediss"),
        options=options,
        **user,
    )
