"""Permissions: what each part of the bot needs to be allowed."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One permission (an RBAC rule's atom): what must be allowed, and for what."""

    verb: str
    resource: str
    """Plural, with its subresource if any: "pods", "pods/exec"."""
    group: str = ""
    """"" is the core group."""
    namespace: str = ""
    """"" means in every namespace (or of the cluster); else only there."""
    is_optional: bool = False
    """Without it a diagnosis still works, and says what it could not see."""
    why: str = ""

    def __str__(self) -> str:
        group = f".{self.group}" if self.group else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{group}{where}"
