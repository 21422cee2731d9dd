"""The webhook against its own OpenAPI document: what that allows is taken, what it does not is refused whole."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from bot.store import Store
from bot.web.openapi import openapi
from tests.web.test_alertmanager import BEARER, post, waiting, webhook

DOCUMENT = openapi()
SCHEMA: dict[str, Any] = {
    **DOCUMENT["paths"]["/alertmanager"]["post"]["requestBody"]["content"]["application/json"]["schema"],
    "components": DOCUMENT["components"],
}
ANSWERS = {int(status) for status in DOCUMENT["paths"]["/alertmanager"]["post"]["responses"]}
VALIDATOR: Any = Draft202012Validator(SCHEMA)  # its types are partly unknown


def from_schema(schema: dict[str, Any]) -> st.SearchStrategy[Any]:  # noqa: PLR0911 one a kind of schema
    """Values that the schema allows; of JSON Schema what the document uses, anything else is an error."""
    match schema:
        case {"$ref": reference}:
            return from_schema(DOCUMENT["components"]["schemas"][reference.rpartition("/")[2]])
        case {"enum": values}:
            return st.sampled_from(values)
        case {"anyOf": schemas}:
            return st.one_of(*map(from_schema, schemas))
        case {"type": "string"}:
            return st.text(max_size=20)
        case {"type": "integer"}:
            return st.integers(-(2**63), 2**63 - 1)
        case {"type": "null"}:
            return st.none()
        case {"type": "array", "items": item}:
            return st.lists(from_schema(item), max_size=4)
        case {"type": "object", "properties": properties, "required": required}:
            given = {name: from_schema(one) for name, one in properties.items()}
            needed = {name: given.pop(name) for name in required}
            return st.builds(_merged, st.fixed_dictionaries(needed, optional=given), _FURTHER)
        case {"type": "object", "additionalProperties": item}:
            return st.dictionaries(st.text(max_size=12), from_schema(item), max_size=5)
        case _:
            raise AssertionError(schema)


_FURTHER = st.dictionaries(
    st.sampled_from(["notification_reason", "routeLabels", "x"]), st.integers() | st.text(), max_size=2
)
"""Fields that a later Alertmanager adds."""


def _merged(known: dict[str, Any], further: dict[str, Any]) -> dict[str, Any]:
    return {**further, **known}


BODIES = from_schema(SCHEMA)
PATIENT = [HealthCheck.too_slow, HealthCheck.filter_too_much]
QUICK = settings(max_examples=80, deadline=None, suppress_health_check=PATIENT)
Sending = Callable[[Any], Coroutine[Any, Any, None]]


async def fuzz(bodies: st.SearchStrategy[Any], send: Sending) -> None:
    """Each body over the real connection, from the thread in which hypothesis runs."""
    loop = asyncio.get_running_loop()

    @given(bodies)
    @QUICK
    def one(body: Any) -> None:
        asyncio.run_coroutine_threadsafe(send(body), loop).result(30)

    await asyncio.to_thread(one)


async def test_what_the_document_allows_is_taken(store: Store) -> None:
    async with webhook(store) as session:

        async def send(body: Any) -> None:
            status, said = await post(session, json.dumps(body).encode(), BEARER)
            assert status == 200, said
            assert said.endswith(" known.\n")

        await fuzz(BODIES, send)


@st.composite
def damaged(draw: st.DrawFn) -> Any:
    """A body in which one value is another kind of thing, or missing."""
    body = draw(BODIES)
    other = draw(st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.none(), max_size=2))
    alerts = body["alerts"]
    if alerts and draw(st.booleans()):
        alert = draw(st.sampled_from(alerts))
        name = draw(st.sampled_from(["status", "labels", "annotations", "startsAt", "fingerprint"]))
        alert[name] = other
    else:
        body[draw(st.sampled_from(["alerts", "receiver", "truncatedAlerts"]))] = other
    return body


async def test_what_it_does_not_allow_is_refused_and_leaves_nothing(store: Store) -> None:
    async with webhook(store) as session:

        async def send(body: Any) -> None:
            before = await waiting(store)
            status, _ = await post(session, json.dumps(body).encode(), BEARER)
            assert status in ANSWERS - {503}
            assert (status == 200) == VALIDATOR.is_valid(body)
            if status != 200:
                assert await waiting(store) == before

        await fuzz(damaged(), send)


async def test_nobody_without_a_right_to_it_changes_anything(store: Store) -> None:
    async with webhook(store) as session:

        async def send(body: Any) -> None:
            assert (await post(session, json.dumps(body).encode(), {}))[0] == 401

        await fuzz(BODIES, send)
    assert await waiting(store) == 0


def test_the_document_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert {200, 400, 401, 413, 503} == ANSWERS
