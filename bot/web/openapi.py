"""The webhook's OpenAPI document: what a sender may rely on. It is published, and not served."""

from importlib.metadata import version
from typing import Any

from bot.alerts.payload import payload_schemas
from bot.web.alertmanager import MAX_BODY_BYTES, SIGNATURES

_ANSWERS = {
    "200": "All alerts are in the store. The text counts what is new and what was known.",
    "400": "No notification of Alertmanager's, or a cluster that is not configured. Nothing was kept.",
    "401": "Neither the token, nor a signature, nor a client certificate. Nothing was read.",
    "413": f"More than {MAX_BODY_BYTES >> 20} MiB: set `max_alerts` for the receiver. Nothing was kept.",
    "503": "The store is away: send it again. What was kept meanwhile is known then.",
}


def openapi() -> dict[str, Any]:
    """The document."""
    schema, schemas = payload_schemas("#/components/schemas/{name}")
    return {
        "openapi": "3.1.0",
        "info": {"title": "cnibot", "version": version("cnibot"), "license": {"name": "Apache-2.0"}},
        "paths": {"/alertmanager": {"post": _webhook(schema)}},
        "components": {"schemas": schemas, "securitySchemes": _schemes()},
    }


def _webhook(schema: dict[str, Any]) -> dict[str, Any]:
    which = "The cluster that the alerts are of; left out, their labels say it."
    text = {"text/plain": {"schema": {"type": "string"}}}
    return {
        "summary": "Take alerts in: Alertmanager's webhook, version 4",
        "operationId": "takeAlerts",
        "parameters": [
            {"name": "cluster", "in": "query", "description": which, "schema": {"type": "string"}, "required": False}
        ],
        "requestBody": {"required": True, "content": {"application/json": {"schema": schema}}},
        "responses": {status: {"description": what, "content": text} for status, what in _ANSWERS.items()},
        "security": [{name: []} for name in _schemes()],
    }


def _schemes() -> dict[str, Any]:
    signature = {"type": "apiKey", "in": "header", "description": "HMAC-SHA256 of the body, in hexadecimal digits."}
    return {
        "token": {"type": "http", "scheme": "bearer"},
        **{name: {**signature, "name": name} for name in SIGNATURES},
        "certificate": {"type": "mutualTLS"},
    }
