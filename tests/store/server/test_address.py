"""The store's URL, taken apart; what is secret in it stays so."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import ConfigurationError
from bot.store.connection import connect
from bot.store.server.address import Address, parse


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis", Address(kind="tcp", where="redis://redis:6379/0", hosts=(("redis", 6379),))),
        (
            "redis://bot:p%40ss@10.0.0.1:6380/3",
            Address(
                kind="tcp", where="redis://10.0.0.1:6380/3", hosts=(("10.0.0.1", 6380),), db=3, username="bot",
                password="p@ss",
            ),
        ),
        (
            "rediss://:x@[fd00::1]/?db=2&ssl_ca_certs=/ca.pem",
            Address(
                kind="tcp", where="rediss://[fd00::1]:6379/2", hosts=(("fd00::1", 6379),), db=2, tls=True, password="x",
                options={"db": "2", "ssl_ca_certs": "/ca.pem"},
            ),
        ),
        (
            "unix://:x@/run/redis/redis.sock?db=1",
            Address(
                kind="unix", where="unix:///run/redis/redis.sock", path="/run/redis/redis.sock", db=1, password="x",
                options={"db": "1"},
            ),
        ),
        (
            "redis+sentinel://bot:x@a,b:26380,[::1]/main/1?sentinel_password=y",
            Address(
                kind="sentinel", where="redis+sentinel://a:26379,b:26380,[::1]:26379/main/1", db=1, master="main",
                hosts=(("a", 26379), ("b", 26380), ("::1", 26379)), username="bot", password="x",
                options={"sentinel_password": "y"},
            ),
        ),
        (
            "rediss+sentinel://a/m",
            Address(
                kind="sentinel", where="rediss+sentinel://a:26379/m/0", hosts=(("a", 26379),), master="m", tls=True
            ),
        ),
    ],
)  # fmt: skip
def test_each_form(url: str, expected: Address) -> None:
    assert parse(url) == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("localhost:6379", "it must look like redis://"),
        ("http://redis", "it must look like redis://"),
        ("redis://", "it names no host"),
        ("redis://redis/prod", "its database must be a number"),
        ("redis://redis:port", "it must look like redis://"),
        ("redis://redis?sslcacerts=x", "it has an unknown option"),
        ("redis://:a#b@redis", "it has an unknown option"),
        ("unix://run/redis.sock", "the path of its socket must be absolute"),
        ("redis+sentinel://a,b", "it names no master"),
    ],
)
def test_mistakes_are_explained(url: str, why: str) -> None:
    with pytest.raises(ConfigurationError) as reported:
        parse(url)
    assert str(reported.value).startswith("CNIBOT_REDIS_URL cannot be used: ")
    assert why in str(reported.value)


SECRET = "s3cr7t"


def outcome(url: str) -> tuple[str, Address | None]:
    """All that is shown of a URL; and what it means, if anything."""
    try:
        address = parse(url)
    except ConfigurationError as error:
        hidden = "" if error.__suppress_context__ else str(error.__context__)
        return f"{error} {error!r} {error.__cause__} {hidden}", None
    return repr(address), address


@given(
    before=st.text(alphabet="/?#@:[]%&= x", max_size=3),
    after=st.text(alphabet="/?#@:[]%&= x", max_size=3),
    rest=st.sampled_from(["@redis", "@redis/x", "", "@", "@redis:port", "@a,b/m"]),
    scheme=st.sampled_from(["redis", "rediss", "unix", "redis+sentinel", "http"]),
)
def test_no_part_of_a_wrong_url_is_repeated(before: str, after: str, rest: str, scheme: str) -> None:
    """A password with special characters ends up anywhere: in the port, the path, an option's name."""
    shown, address = outcome(f"{scheme}://:{before}{SECRET}{after}{rest}")

    if SECRET in shown:
        assert address, "it stands in an error"
        assert SECRET not in f"{address.username} {address.password} {address.options}", "it is more than a host"


@given(password=st.text(min_size=1))
def test_any_password_arrives_and_is_not_shown(password: str) -> None:
    secret = "<" + password + ">"
    try:
        encoded = quote(secret, safe="")
    except UnicodeEncodeError:
        return  # a lone surrogate is no text
    address = parse(f"rediss://bot:{encoded}@redis:6380/1")

    assert (address.username, address.password) == ("bot", secret)
    assert secret not in f"{address!r} {address.where} {connect(address).redis!r}"
