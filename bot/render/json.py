"""A report as JSON: the contract of docs/report.schema.json."""

import json
from typing import Any

import msgspec
import yaml

from bot.domain.redact import redacted
from bot.domain.report import Report


def encoded(report: Report) -> str:
    """The report, indented, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(_safe(report)), indent=2).decode() + "\n"


def encoded_yaml(report: Report) -> str:
    """The same as YAML, for those who read `kubectl -o yaml`."""
    return yaml.safe_dump(_safe(report), sort_keys=False, allow_unicode=True, width=10_000)


def _safe(report: Report) -> object:
    return redacted(msgspec.to_builtins(report), "json")


def schema() -> dict[str, Any]:
    """The JSON Schema of the report."""
    return msgspec.json.schema(Report)


def schema_text() -> str:
    """The schema as the published file has it."""
    return json.dumps(schema(), indent=2) + "\n"
