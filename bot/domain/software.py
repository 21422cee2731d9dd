"""The software that carries a cluster's network."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Software:
    """Names as facts and known issues use them; "" and () for what was not read."""

    cni: str
    """"calico"; "unknown" where no agent tells."""
    cni_version: str = ""
    """Without v."""
    kubernetes: str = ""
    kernels: tuple[str, ...] = ()
