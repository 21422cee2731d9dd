"""Messages."""

from collections.abc import Mapping
from typing import Any

from bot.lab.slack.validate.problem import Problem


def validate_message(payload: Mapping[str, Any]) -> list[Problem]:
    """Why Slack would refuse this message: {text, blocks, attachments, metadata}; empty when it is fine."""
    blocks: Any = payload.get("blocks")
    if blocks and len(blocks) > 50:
        return [Problem(error="invalid_blocks", sentence="no more than 50 items allowed", pointer="/blocks")]
    return []
