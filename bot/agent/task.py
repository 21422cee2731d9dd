"""The task from its line of JSON: checked by the classes of the contract, refused with a sentence.

Fields that this agent does not know come from a newer bot: they are not refused, and not silently ignored either;
the report names them as missing.
"""

import dataclasses
import ipaddress
import json
import types
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from bot.agent.report import TASK_SCHEMA, Missing, Task

TASK_BYTES = 8 << 20
LIMITS = {"pods": 1000, "targets": 2000, "questions": 500, "services": 5000, "mtu_targets": 64, "follow": 4}
LONGEST_DEADLINE_S = 60.0
MOST_SECONDS = 1 << 32
TEXT_LIMIT = 512
TRIES_LIMIT = 50
SERIES_LIMIT = 32
PORTS_LIMIT = 128
PACKET_BYTES = 9000

T = TypeVar("T")


class TaskError(ValueError):
    """The task is malformed; the message is one sentence with the place."""


def decode_task(line: str | bytes) -> tuple[Task, tuple[Missing, ...]]:
    """The task, and the fields that this agent does not know. TaskError when it is malformed."""
    if len(line) > TASK_BYTES:
        raise TaskError(f"the task has more than {TASK_BYTES} bytes")
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise TaskError(f"the task is not JSON: {error}") from error
    unknown: list[Missing] = []
    task = _object(Task, value, "task", unknown)
    _check(task)
    return task, tuple(unknown[:20])


def _check(task: Task) -> None:
    if task.schema != TASK_SCHEMA:
        raise TaskError(f"task.schema: this agent understands {TASK_SCHEMA}, not {task.schema!r}")
    _check_amounts(task)
    _check_series(task)
    for place, text in _addresses(task):
        try:
            ipaddress.ip_address(text)
        except ValueError:
            raise TaskError(f"{place}: not an IP address: {text!r}") from None
    for place, port in _ports(task):
        if not 0 <= port <= 65535:
            raise TaskError(f"{place}: not a port: {port}")


def _check_amounts(task: Task) -> None:
    for name, limit in LIMITS.items():
        if len(getattr(task, name)) > limit:
            raise TaskError(f"task.{name}: at most {limit}")
    if not 0.1 <= task.deadline_s <= LONGEST_DEADLINE_S:
        raise TaskError(f"task.deadline_s: between 0.1 and {LONGEST_DEADLINE_S:g}")
    for name in ("patience_s", "patience_arp_s"):
        if not 0 <= getattr(task, name) <= LONGEST_DEADLINE_S:
            raise TaskError(f"task.{name}: between 0 and {LONGEST_DEADLINE_S:g}")
    if not 0 <= task.arp_tries <= TRIES_LIMIT:
        raise TaskError(f"task.arp_tries: between 0 and {TRIES_LIMIT}")
    for name, each in (("targets", (*task.targets, *task.mtu_targets)), ("questions", task.questions)):
        wrong = next((at for at, one in enumerate(each) if not 1 <= one.tries <= TRIES_LIMIT), None)
        if wrong is not None:
            raise TaskError(f"task.{name}[{wrong}].tries: between 1 and {TRIES_LIMIT}")


def _check_series(task: Task) -> None:
    for at, flow in enumerate(task.follow):
        place = f"task.follow[{at}]"
        if not 1 <= flow.count <= SERIES_LIMIT:
            raise TaskError(f"{place}.count: between 1 and {SERIES_LIMIT}")
        if not 0 <= flow.length <= PACKET_BYTES:
            raise TaskError(f"{place}.length: at most {PACKET_BYTES}")
        if flow.first_port < 1024 or max(flow.first_port + flow.count - 1, 0) > 65535:
            raise TaskError(f"{place}.first_port: between 1024 and {65536 - flow.count}")
    ports = [flow.first_port for flow in task.follow]
    if ports and max(ports) - min(ports) > PORTS_LIMIT - SERIES_LIMIT:
        raise TaskError(f"task.follow: source ports of all series within {PORTS_LIMIT}")


def _addresses(task: Task) -> list[tuple[str, str]]:
    found = [(f"task.targets[{at}].ip", target.ip) for at, target in enumerate(task.targets)]
    found += [(f"task.mtu_targets[{at}].ip", target.ip) for at, target in enumerate(task.mtu_targets)]
    found += [(f"task.questions[{at}].server", question.server) for at, question in enumerate(task.questions)]
    found += [(f"task.pods[{at}].ip", pod.ip) for at, pod in enumerate(task.pods) if pod.ip]
    found += [(f"task.follow[{at}].ip", flow.ip) for at, flow in enumerate(task.follow)]
    found += [("task.gateway", task.gateway)] if task.gateway else []
    return found


def _ports(task: Task) -> list[tuple[str, int]]:
    found = [(f"task.targets[{at}].port", target.port) for at, target in enumerate(task.targets)]
    found += [(f"task.follow[{at}].port", flow.port) for at, flow in enumerate(task.follow)]
    return found + [(f"task.services[{at}].port", service.port) for at, service in enumerate(task.services)]


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _object(kind: type[T], value: object, place: str, unknown: list[Missing]) -> T:
    if not isinstance(value, Mapping):
        raise TaskError(f"{place}: an object is expected, not {_named(value)}")
    given = cast("Mapping[str, object]", value)
    hints = _hints(kind)
    unknown += [
        Missing(what=f"{place}.{name}"[:TEXT_LIMIT], why="this agent does not know the field")
        for name in given
        if name not in hints
    ]
    read = {
        name: _value(hints[name], item, f"{place}.{name}", unknown) for name, item in given.items() if name in hints
    }
    for field in dataclasses.fields(cast("Any", kind)):
        has_default = field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING
        if field.name not in read and not has_default:
            raise TaskError(f"{place}.{field.name}: missing")
    return kind(**read)


def _value(hint: Any, value: object, place: str, unknown: list[Missing]) -> Any:
    origin = get_origin(hint)
    if origin is tuple:
        if not isinstance(value, list):
            raise TaskError(f"{place}: a list is expected, not {_named(value)}")
        inner = get_args(hint)[0]
        items = cast("list[object]", value)
        return tuple(_value(inner, item, f"{place}[{at}]", unknown) for at, item in enumerate(items))
    if origin is Literal:
        if value not in get_args(hint):
            raise TaskError(f"{place}: one of {', '.join(map(str, get_args(hint)))} is expected, not {_named(value)}")
        return value
    if dataclasses.is_dataclass(hint):
        return _object(cast("type[Any]", hint), value, place, unknown)
    return _scalar(hint, value, place)


def _scalar(hint: Any, value: object, place: str) -> object:
    if hint is float and isinstance(value, int) and not isinstance(value, bool) and abs(value) <= MOST_SECONDS:
        return float(value)
    if type(value) is not hint:
        raise TaskError(f"{place}: {hint.__name__} is expected, not {_named(value)}")
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        raise TaskError(f"{place}: longer than {TEXT_LIMIT} characters")
    return value


def _named(value: object) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return f"{type(value).__name__} {str(value)[:40]!r}" if not isinstance(value, types.NoneType) else "null"
