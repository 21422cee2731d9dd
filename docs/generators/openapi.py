"""docs/openapi.json: the webhook, as its code declares it."""

import json

from bot.web.openapi import openapi


def pages() -> dict[str, str]:
    """The document."""
    return {"docs/openapi.json": json.dumps(openapi(), indent=2) + "\n"}
