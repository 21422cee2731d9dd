"""How a program beside us finds the cluster that we speak with."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterAccess:
    """The same server, as the same user."""

    kubeconfig: str
    """As KUBECONFIG has it: files, joined by colons. "": the service account of our pod."""
    context: str
    server: str
    tls_name: str = ""
    """What the server's certificate must be for, where that is not the server's host."""
