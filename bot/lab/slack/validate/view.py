"""Views."""

from collections.abc import Mapping
from typing import Any

from bot.lab.slack.validate.problem import Problem


def validate_view(view: Mapping[str, Any]) -> list[Problem]:
    """Why Slack would refuse this modal or Home tab; empty when it is fine."""
    if view.get("type") not in {"modal", "home"}:
        return [Problem(error="invalid_arguments", sentence="unsupported type", pointer="/view/type")]
    return []
