"""The few types that the cluster and the Slack workspace share."""

from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]
"""A JSON object."""
