"""Incidents, their runs and their reports."""

from bot.domain.incident import Incident


class Incidents:
    """All incidents. Each method raises `StoreUnavailableError` when the store cannot be asked."""

    async def open(  # noqa: PLR0913 - the facts of who asked about what
        self,
        *,
        cluster: str,
        namespace: str,
        pod: str | None,
        channel: str,
        thread: str | None,
        opened_by: str,
        now: float,
        dedup: str,
    ) -> tuple[Incident, bool]:
        """The open incident of this cluster, namespace, pod and channel, or a new one; and whether it is new.

        The same `dedup` gives the same answer again.
        """
        raise NotImplementedError

    async def get(self, incident_id: str) -> Incident | None:
        """The incident, or None."""
        raise NotImplementedError

    async def save(self, incident: Incident) -> bool:
        """Keep its new state. False: a newer run has begun since, nothing was changed."""
        raise NotImplementedError

    async def begin_run(self, incident_id: str, dedup: str) -> int:
        """The number of a new run, from 1; the same `dedup` gives the same number again."""
        raise NotImplementedError

    async def open_ones(self, cluster: str | None = None) -> tuple[Incident, ...]:
        """Incidents that are not closed, latest change first."""
        raise NotImplementedError

    async def put_report(self, incident_id: str, run: int, report_json: bytes) -> None:
        """Keep the report of a run."""
        raise NotImplementedError

    async def report(self, incident_id: str, run: int) -> bytes | None:
        """The report of a run; None when there is none (any more)."""
        raise NotImplementedError
