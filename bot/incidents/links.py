"""Links to an incident's page: whoever has one may read the page, for some days."""

import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass, field

LINK_S = 7 * 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Links:
    """Makes and checks them."""

    base: str
    """The address under which people reach the bot: "https://cnibot.example"."""
    key: bytes = field(repr=False)
    now: Callable[[], float] = time.time

    def to(self, incident_id: str) -> str:
        """A link that is good from now on for `LINK_S`, and the same within an hour."""
        expires = int((self.now() + LINK_S) // 3600 + 1) * 3600
        signature = self._signature(incident_id, expires)
        return f"{self.base.rstrip('/')}/incidents/{incident_id}?expires={expires}&signature={signature}"

    def is_good(self, incident_id: str, expires: str, signature: str) -> bool:
        """Whether a link was made here, for this incident, and has not ended."""
        if not (expires.isascii() and expires.isdigit() and len(expires) < 12):
            return False
        wanted = self._signature(incident_id, int(expires))
        is_ours = hmac.compare_digest(signature.encode(errors="replace"), wanted.encode())
        return is_ours and int(expires) > self.now()

    def _signature(self, incident_id: str, expires: int) -> str:
        return hmac.new(self.key, f"{incident_id} {expires}".encode(), hashlib.sha256).hexdigest()
