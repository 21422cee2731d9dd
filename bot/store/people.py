"""What people asked for and said: watches and feedback."""

from bot.domain.incident import FeedbackEntry, Watch


class Watches:
    """Namespaces that are diagnosed regularly. One watch per cluster, namespace and channel."""

    async def add(self, watch: Watch) -> bool:
        """Keep it. False: there was one, which stays as it was."""
        raise NotImplementedError

    async def remove(self, cluster: str, namespace: str, channel: str) -> bool:
        """Forget it. False: there was none."""
        raise NotImplementedError

    async def all(self) -> tuple[Watch, ...]:
        """All of them, by cluster, namespace and channel."""
        raise NotImplementedError


class Feedback:
    """What people said about verdicts. One entry per incident, run and user."""

    async def add(self, entry: FeedbackEntry) -> bool:
        """Keep it; a second one of the same user about the same run replaces the first. True: it is the first."""
        raise NotImplementedError

    async def all(self) -> tuple[FeedbackEntry, ...]:
        """All of it, oldest first."""
        raise NotImplementedError
