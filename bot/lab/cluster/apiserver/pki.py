"""Keys and certificates of the lab's API server, and kubeconfigs that trust them."""

import ipaddress
import json
import os
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_VALID = timedelta(days=365)
_SKEW = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True)
class Pki:
    """A directory with the authority (`ca.crt`), the server's certificate and the key of service account tokens."""

    directory: Path

    @classmethod
    def create(cls, directory: Path, *, names: Sequence[str] = (), addresses: Sequence[str] = ()) -> "Pki":
        """Make what the directory does not hold yet; a present authority and server certificate are kept.

        `localhost`, `kubernetes.default.svc` and their addresses are always among the server's names. Elliptic-curve
        keys: all of it takes about a millisecond.
        """
        directory.mkdir(parents=True, exist_ok=True)
        pki = cls(directory=directory)
        if not (directory / "server.crt").exists():
            pki._make(list(names), list(addresses))
        return pki

    def _make(self, names: list[str], addresses: list[str]) -> None:
        authority_key, server_key, signing_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(3))
        authority = _authority(authority_key)
        server = _server(server_key, authority, authority_key, names, addresses)
        for name, key in (("ca.key", authority_key), ("server.key", server_key), ("sa.key", signing_key)):
            _write(self.directory / name, _pem(key), 0o600)
        _write(self.directory / "ca.crt", authority.public_bytes(serialization.Encoding.PEM), 0o644)
        _write(self.directory / "server.crt", server.public_bytes(serialization.Encoding.PEM), 0o644)

    @property
    def ca_pem(self) -> str:
        """The authority's certificate, as clients need it."""
        return (self.directory / "ca.crt").read_text()

    def signing_key(self) -> ec.EllipticCurvePrivateKey:
        """What signs service account tokens."""
        key = serialization.load_pem_private_key((self.directory / "sa.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def server_context(self) -> ssl.SSLContext:
        """TLS for the listening side."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.directory / "server.crt", self.directory / "server.key")
        context.set_alpn_protocols(["http/1.1"])
        return context

    def kubeconfig(
        self, path: Path, *, server: str, token: str, user: str = "admin", namespace: str = "default"
    ) -> Path:
        """Write a kubeconfig (readable by its owner only) and return its path; `server` is `https://HOST:PORT`."""
        import base64  # noqa: PLC0415

        authority = base64.b64encode(self.ca_pem.encode()).decode()
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "lab", "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [{"name": user, "user": {"token": token}}],
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": user, "namespace": namespace}}],
            "current-context": "lab",
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(path, json.dumps(config, indent=1).encode(), 0o600)  # JSON is YAML
        return path


def _write(path: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + _VALID)
    )


def _usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # Python 3.13 verifies strictly (RFC 5280): key usage and key identifiers must be there.
    subject = _name("cnibot-lab-ca")
    return (
        _builder(subject, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(authority=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _server(
    key: ec.EllipticCurvePrivateKey,
    authority: x509.Certificate,
    authority_key: ec.EllipticCurvePrivateKey,
    names: list[str],
    addresses: list[str],
) -> x509.Certificate:
    service = [f"kubernetes{suffix}" for suffix in ("", ".default", ".default.svc", ".default.svc.cluster.local")]
    dns = dict.fromkeys(["localhost", *service, *names])
    numbers = dict.fromkeys(["127.0.0.1", "::1", "10.43.0.1", *addresses])
    alternatives = [x509.DNSName(name) for name in dns]
    others = [x509.IPAddress(ipaddress.ip_address(address)) for address in numbers]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        _builder(_name("kube-apiserver"), authority.subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([*alternatives, *others]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
