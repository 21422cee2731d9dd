"""What a real Kubernetes 1.36.2 answered, and what it means that another answer is alike."""

import base64
import json
import re
from pathlib import Path
from string import Template
from typing import Any, cast

import msgspec

FOLDER = Path(__file__).with_name("recordings")
_UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_CLUSTER_IP = re.compile(r"10\.43\.\d+\.\d+")
_EVENT_NAME = re.compile(r"\.[0-9a-f]{16}\b")
_AGE = re.compile(r"\d+[smhd]")
_OPAQUE = {"resourceVersion": "RV", "continue": "TOKEN", "reportingInstance": "INSTANCE", "token": "JWT"}
_VERSION_SENTENCE = re.compile(r"too old resource version: \d+ \(\d+\)")


def names() -> list[str]:
    """All recordings of HTTP exchanges, in the order in which they were made."""
    return sorted(path.stem for path in FOLDER.glob("[0-9]*.json"))


def numbered(number: int) -> str:
    """The recording with this number."""
    (name,) = (name for name in names() if name.startswith(f"{number:03}-"))
    return name


def load(name: str, values: dict[str, str] | None = None) -> dict[str, Any]:
    """One recording, with its placeholders filled."""
    text = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    return json.loads(Template(text).safe_substitute(values or {}))


def alike(value: Any, key: str = "") -> Any:
    """A value without what differs from run to run."""
    if isinstance(value, dict):
        return _alike_object(cast("dict[str, Any]", value), key)
    if isinstance(value, list):
        return _alike_list(cast("list[Any]", value), key)
    if isinstance(value, str):
        return (_OPAQUE[key] if value else "") if key in _OPAQUE else _text(value)
    return value


def _alike_object(value: dict[str, Any], key: str) -> dict[str, Any]:
    if key == "metadata" and value.get("generateName") == "web-":
        # How often a slice was written depends on how changes came together.
        value = {name: item for name, item in value.items() if name != "generation"}
    return {_text(name): alike(item, name) for name, item in sorted(value.items())}


def _alike_list(value: list[Any], key: str) -> list[Any]:
    if key == "cells":
        return [_AGE.sub("AGE", cell) if isinstance(cell, str) else cell for cell in value]
    found = [alike(item) for item in value]
    if key in {"managedFields", "resourceRules", "nonResourceRules"}:
        return sorted(found, key=json.dumps)
    if key == "items" and found and "revision" in found[0]:
        # Their names hold hashes that only Go can make; by number they can be compared.
        return sorted(found, key=lambda item: item["revision"])
    return found


def _text(value: str) -> str:
    value = _UID.sub("UID", value)
    value = _TIME.sub("TIME", value)
    value = _EVENT_NAME.sub(".EVENT", value)
    value = _VERSION_SENTENCE.sub("too old resource version: N (N)", value)
    return _CLUSTER_IP.sub("CLUSTER-IP", value)


def token_start(token: str) -> str:
    """Where a continue token goes on."""
    raw = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4))
    return msgspec.json.decode(raw)["start"]
