"""Kubeconfigs for service accounts: how tests let the bot run with exactly the rights of a manifest."""

from pathlib import Path

from bot.lab.cluster.apiserver.pki import Pki
from bot.lab.cluster.apiserver.tokens import Tokens, account_name


def for_service_account(
    pki: Pki, tokens: Tokens, path: Path, *, server: str, account: tuple[str, str], lifetime_s: int = 3600
) -> Path:
    """Write a kubeconfig for `account` (namespace and name, which must exist) and return its path; raises 404."""
    namespace, name = account
    token, _ = tokens.issue(namespace, name, lifetime_s=lifetime_s)
    return pki.kubeconfig(path, server=server, token=token, user=account_name(namespace, name), namespace=namespace)
