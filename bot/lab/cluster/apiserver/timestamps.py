"""Kubernetes' two spellings of a moment: RFC 3339 in UTC, with whole seconds or with microseconds."""

from datetime import UTC, datetime


def seconds(moment: datetime) -> str:
    """As `metav1.Time` is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def micros(moment: datetime) -> str:
    """As `metav1.MicroTime` is written."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def parse(text: str) -> datetime:
    """The moment of either spelling; raises ValueError."""
    return datetime.fromisoformat(text)
