"""HTTPS for what others reach, and certificates by which senders are known."""

import ssl
from pathlib import Path

from bot.domain.errors import ConfigurationError


def tls_context(certificate: Path, key: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """For the server, from PEM files. Errors: `ConfigurationError`, naming the setting.

    With `client_ca` clients may show a certificate, which must then be of this authority and for clients.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError("CNIBOT_HTTP_TLS_CERT and CNIBOT_HTTP_TLS_KEY", str(error)) from error
    if client_ca is None:
        return context
    try:
        context.load_verify_locations(client_ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError("CNIBOT_ALERTMANAGER_CLIENT_CA", str(error)) from error
    # Slack comes to the same address, and senders with a token: who shows no certificate is let in, unknown.
    context.verify_mode = ssl.CERT_OPTIONAL
    return context
