"""Who is asking: bearer tokens of people (kept in a table) and of service accounts (signed, with an end)."""

import base64
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

if TYPE_CHECKING:
    from bot.lab.cluster.apiserver.store.storage import Storage

ISSUER = "https://kubernetes.default.svc"
AUTHENTICATED = "system:authenticated"
_CURVE_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class User:
    """Who a request is from."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


ANONYMOUS = User(name="system:anonymous", groups=("system:unauthenticated",))
ADMIN = User(name="kubernetes-admin", groups=("system:masters", AUTHENTICATED))


def account_name(namespace: str, name: str) -> str:
    """The user name of a service account."""
    return f"system:serviceaccount:{namespace}:{name}"


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Tokens:
    """Checks bearer tokens and issues those of service accounts."""

    def __init__(self, storage: "Storage", key: ec.EllipticCurvePrivateKey) -> None:
        self._storage = storage
        self._key = key
        self._people: dict[str, User] = {}
        self._verified: dict[str, Mapping[str, Any]] = {}

    def add(self, user: User = ADMIN, token: str | None = None) -> str:
        """A token for a person; without an end."""
        token = token or secrets.token_urlsafe(32)
        self._people[token] = user
        return token

    def issue(
        self,
        namespace: str,
        name: str,
        *,
        lifetime_s: int = 3600,
        audiences: tuple[str, ...] = (ISSUER,),
        pod: Mapping[str, Any] | None = None,
    ) -> tuple[str, datetime]:
        """A token of a service account (a JWT, as the real server's) and when it ends; raises 404."""
        account = self._storage.record("serviceaccounts", name, namespace).obj["metadata"]
        now = self._storage.now()
        ends_at = now + timedelta(seconds=lifetime_s)
        bound: dict[str, Any] = {
            "namespace": namespace,
            "serviceaccount": {"name": name, "uid": account["uid"]},
        }
        if pod is not None:
            bound["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        claims = {
            "aud": list(audiences),
            "exp": int(ends_at.timestamp()),
            "iat": int(now.timestamp()),
            "iss": ISSUER,
            "jti": self._storage.new_uid(),
            "kubernetes.io": bound,
            "nbf": int(now.timestamp()),
            "sub": account_name(namespace, name),
        }
        return self._sign(claims), ends_at

    def _sign(self, claims: Mapping[str, Any]) -> str:
        header = _encode(msgspec.json.encode({"alg": "ES256", "kid": "lab", "typ": "JWT"}))
        text = f"{header}.{_encode(msgspec.json.encode(claims))}"
        r, s = utils.decode_dss_signature(self._key.sign(text.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{text}.{_encode(r.to_bytes(_CURVE_BYTES, 'big') + s.to_bytes(_CURVE_BYTES, 'big'))}"

    def check(self, token: str) -> User | None:
        """Whose token it is; None for an unknown, forged or expired one, or one whose account is gone."""
        if user := self._people.get(token):
            return user
        claims = self._verified.get(token)
        if claims is None:
            claims = self._verify(token)
            if claims is None:
                return None
            self._verified[token] = claims
        if self._storage.now().timestamp() >= claims["exp"]:
            return None
        return self._account(claims)

    def _verify(self, token: str) -> Mapping[str, Any] | None:
        text, _, signature = token.rpartition(".")
        try:
            raw = _decode(signature)
            r, s = (int.from_bytes(raw[at : at + _CURVE_BYTES], "big") for at in (0, _CURVE_BYTES))
            encoded = utils.encode_dss_signature(r, s)
            self._key.public_key().verify(encoded, text.encode(), ec.ECDSA(hashes.SHA256()))
            return msgspec.json.decode(_decode(text.partition(".")[2]))
        except (InvalidSignature, ValueError):
            return None

    def _account(self, claims: Mapping[str, Any]) -> User | None:
        bound = claims["kubernetes.io"]
        namespace, wanted = bound["namespace"], bound["serviceaccount"]
        account = self._storage.find("serviceaccounts", wanted["name"], namespace)
        if account is None or account["metadata"]["uid"] != wanted["uid"]:
            return None
        extra = {"authentication.kubernetes.io/credential-id": (f"JTI={claims['jti']}",)}
        if pod := bound.get("pod"):
            found = self._storage.find("pods", pod["name"], namespace)
            if found is None or found["metadata"]["uid"] != pod["uid"]:
                return None
            extra["authentication.kubernetes.io/pod-name"] = (pod["name"],)
            extra["authentication.kubernetes.io/pod-uid"] = (pod["uid"],)
        return account_user(namespace, wanted["name"], wanted["uid"], extra)


def account_user(namespace: str, name: str, uid: str = "", extra: Mapping[str, tuple[str, ...]] | None = None) -> User:
    """The user that a service account is."""
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", AUTHENTICATED)
    return User(name=account_name(namespace, name), uid=uid, groups=groups, extra=extra or {})


def impersonated(name: str, groups: tuple[str, ...]) -> User:
    """Somebody for whom an administrator speaks; a service account keeps its own groups."""
    match name.split(":"):
        case ["system", "serviceaccount", namespace, account] if not groups:
            return account_user(namespace, account)
        case _:
            return User(name=name, groups=tuple(dict.fromkeys((*groups, AUTHENTICATED))))
