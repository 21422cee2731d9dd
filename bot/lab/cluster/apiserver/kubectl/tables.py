"""The `Table` form of objects: what `kubectl get` prints."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from bot.lab.cluster.apiserver.errors import ApiError
from bot.lab.cluster.apiserver.http.answers import Form
from bot.lab.cluster.apiserver.kinds import Resource
from bot.lab.cluster.apiserver.kubectl.columns import COLUMNS, Column
from bot.lab.cluster.apiserver.kubectl.durations import age
from bot.lab.cluster.apiserver.store import views
from bot.lab.cluster.apiserver.store.history import Record

_NAME = Column("Name", lambda obj: obj["metadata"]["name"], format="name")
_CREATED = Column("Created At", lambda obj: obj["metadata"]["creationTimestamp"], type="date")


def _columns(resource: Resource) -> Sequence[Column]:
    if resource.custom:
        return _custom(resource) if resource.columns else (_NAME, _age_column())
    return COLUMNS.get(resource.kind) or (_NAME, _CREATED)


def _age_column() -> Column:
    return Column("Age", lambda obj: age(obj["metadata"].get("creationTimestamp"), datetime.now(UTC)), type="date")


def _custom(resource: Resource) -> Sequence[Column]:
    """The `additionalPrinterColumns` of a CustomResourceDefinition."""
    columns = [_NAME]
    for each in resource.columns:
        path, kind = str(each["jsonPath"]), str(each["type"])

        def cell(obj: Mapping[str, Any], path: str = path, kind: str = kind) -> Any:
            value = _at(obj, path)
            return age(value, datetime.now(UTC)) if kind == "date" and isinstance(value, str) else value

        columns.append(Column(str(each["name"]), cell, type=kind, priority=int(each.get("priority", 0))))
    return columns


def _at(obj: Mapping[str, Any], path: str) -> Any:
    """The value at a simple JSON path such as `.spec.cidr`; None when it is missing or the path is more than that."""
    value: Any = obj
    for step in path.replace(r"\.", "\0").strip(".").split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step.replace("\0", "."))  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return value  # pyright: ignore[reportUnknownVariableType]


def table(
    resource: Resource,
    records: Sequence[Record],
    metadata: Mapping[str, Any],
    form: Form,
    *,
    headers: bool = True,
    include: str = "Metadata",
) -> dict[str, Any]:
    """Rows for these objects; `include` says how much of each object goes along: None, Metadata or Object."""
    if (form.as_group, form.as_version) != ("meta.k8s.io", "v1"):
        message = "the requested representation is not available: only meta.k8s.io/v1 tables are"
        raise ApiError(406, "NotAcceptable", message)
    columns = _columns(resource)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": dict(metadata),
        "columnDefinitions": [column.definition() for column in columns] if headers else None,
        "rows": [_row(resource, columns, record, include) for record in records],
    }


def _row(resource: Resource, columns: Sequence[Column], record: Record, include: str) -> dict[str, Any]:
    row: dict[str, Any] = {"cells": [column.cell(record.obj) for column in columns]}
    if include == "Object":
        row["object"] = msgspec.Raw(views.whole(resource, record))
    elif include != "None":
        row["object"] = views.partial(record.obj)
    return row
