"""Socket Mode on the wire: tickets, hello, acknowledgements, redelivery, farewells."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from bot.lab.slack import SlackOptions, SlackWorkspace

SOON = SlackOptions(ack_timeout_s=0.1, retry_delays_s=(0.0, 0.02, 0.05))


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def address(ws: SlackWorkspace, http: aiohttp.ClientSession) -> str:
    headers = {"Authorization": f"Bearer {ws.app_token}"}
    async with http.post(f"{ws.api_url}apps.connections.open", headers=headers) as response:
        return (await response.json())["url"]


@asynccontextmanager
async def socket(ws: SlackWorkspace, http: aiohttp.ClientSession) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
    async with http.ws_connect(await address(ws, http)) as connection:
        yield connection


async def frame(connection: aiohttp.ClientWebSocketResponse) -> dict[str, Any]:
    async with asyncio.timeout(15):
        return await connection.receive_json()


async def test_hello_says_what_slack_says(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    async with socket(ws, http) as first, socket(ws, http) as second:
        hello = await frame(first)
        assert (hello["type"], hello["num_connections"]) == ("hello", 1)
        assert hello["connection_info"] == {"app_id": "A0CNIBOT"}
        assert hello["debug_info"]["approximate_connection_time"] == 18060
        assert (await frame(second))["num_connections"] == 2


async def test_a_ticket_is_good_once(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    url = await address(ws, http)
    async with http.ws_connect(url):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await http.ws_connect(url)
    assert caught.value.status == 408


async def test_a_ticket_is_good_for_a_while(http: aiohttp.ClientSession) -> None:
    async with SlackWorkspace.start(SlackOptions(ticket_ttl_s=-1)) as ws:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.ws_connect(await address(ws, http))


async def test_a_dead_ticket_is_never_good(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    ws.faults.dead_tickets(1)
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.ws_connect(await address(ws, http))
    async with socket(ws, http) as connection:
        assert (await frame(connection))["type"] == "hello"


async def test_the_eleventh_connection_is_one_too_many(http: aiohttp.ClientSession) -> None:
    async with (
        SlackWorkspace.start(SlackOptions(max_connections=2)) as ws,
        socket(ws, http),
        socket(ws, http),
        socket(ws, http) as third,
    ):
        farewell = await frame(third)
        assert (farewell["type"], farewell["reason"]) == ("disconnect", "too_many_websockets")
        assert (await third.receive()).type is aiohttp.WSMsgType.CLOSE
        assert len(ws.sockets.connections) == 2


async def test_pings_come_back_as_they_are(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    async with http.ws_connect(await address(ws, http), autoping=False) as connection:
        await frame(connection)
        await connection.ping(b"sdk-ping-pong:1.5")
        answer = await connection.receive()
        assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"sdk-ping-pong:1.5")


async def test_each_event_goes_to_one_connection_in_turn(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    async with socket(ws, http) as first, socket(ws, http) as second:
        await frame(first)
        await frame(second)
        for number in range(4):
            await ws.user("alice").say("#incidents", str(number))
        texts: list[set[str]] = []
        for connection in (first, second):
            envelopes = [await frame(connection), await frame(connection)]
            for envelope in envelopes:
                await connection.send_json({"envelope_id": envelope["envelope_id"]})
            texts.append({envelope["payload"]["event"]["text"] for envelope in envelopes})
        await ws.until(lambda: all(event.is_acked for event in ws.deliveries.log))
        assert texts[0] | texts[1] == {"0", "1", "2", "3"}


async def test_an_event_envelope(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    async with socket(ws, http) as connection:
        await frame(connection)
        ts = await ws.user("alice").say("#incidents", "hello & <goodbye>")
        envelope = await frame(connection)
        assert (envelope["type"], envelope["accepts_response_payload"]) == ("events_api", False)
        assert (envelope["retry_attempt"], envelope["retry_reason"]) == (0, "")
        body = envelope["payload"]
        assert (body["type"], body["team_id"], body["api_app_id"]) == ("event_callback", "T0LAB", "A0CNIBOT")
        assert body["authorizations"][0]["user_id"] == "U0CNIBOT"
        assert body["is_ext_shared_channel"] is False
        event = body["event"]
        assert (event["type"], event["user"], event["ts"], event["channel_type"]) == (
            "message",
            "U0ALICE",
            ts,
            "channel",
        )
        assert event["text"] == "hello &amp; &lt;goodbye&gt;"
        assert event["blocks"][0]["elements"][0]["elements"] == [{"type": "text", "text": "hello & <goodbye>"}]
        await connection.send_json({"envelope_id": envelope["envelope_id"]})
        await ws.until(lambda: ws.deliveries.log[0].is_acked)


async def test_an_unacknowledged_event_comes_four_times(http: aiohttp.ClientSession) -> None:
    async with SlackWorkspace.start(SOON) as ws, socket(ws, http) as connection:
        await frame(connection)
        await ws.user("alice").say("#incidents", "hello")
        envelopes = [await frame(connection) for _ in range(4)]
        assert [one["retry_attempt"] for one in envelopes] == [0, 1, 2, 3]
        assert [one["retry_reason"] for one in envelopes] == ["", "timeout", "timeout", "timeout"]
        assert len({one["payload"]["event_id"] for one in envelopes}) == 1
        assert len({one["envelope_id"] for one in envelopes}) == 4
        await ws.until(lambda: ws.deliveries.log[0].is_given_up)


async def test_an_event_waits_for_a_connection(http: aiohttp.ClientSession) -> None:
    """Nobody is connected when it happens: the retry finds somebody."""
    async with SlackWorkspace.start(SlackOptions(retry_delays_s=(0.0, 0.5, 2.0))) as ws:
        await ws.user("alice").say("#incidents", "hello")
        await ws.until(lambda: len(ws.deliveries.log[0].attempts) == 2)
        async with socket(ws, http) as connection:
            await frame(connection)
            envelope = await frame(connection)
            assert envelope["retry_attempt"] in {2, 3}
            assert envelope["payload"]["event"]["text"] == "hello"
            await connection.send_json({"envelope_id": envelope["envelope_id"]})
            await ws.until(lambda: ws.deliveries.log[0].is_acked)


async def test_a_command_comes_once_and_the_person_sees_an_error(http: aiohttp.ClientSession) -> None:
    async with SlackWorkspace.start(SOON) as ws, socket(ws, http) as connection:
        await frame(connection)
        outcome = await ws.user("alice").slash("#incidents", "/cni", "status")
        assert (outcome.acked, outcome.error) == (False, "/cni failed with the error 'operation_timeout'")
        assert ws.user("alice").ephemerals("#incidents")[0].source == "slack"
        envelope = await frame(connection)
        assert "retry_attempt" not in envelope
        assert (envelope["type"], envelope["accepts_response_payload"]) == ("slash_commands", True)
        assert envelope["payload"]["command"] == "/cni"
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await connection.receive_json()


async def test_without_a_connection_the_person_sees_an_error_at_once(ws: SlackWorkspace) -> None:
    outcome = await ws.user("alice").slash("#incidents", "/cni", "status")
    assert outcome.error == "/cni failed with the error 'dispatch_failed'"


async def test_an_acknowledgement_carries_the_reply(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    async with socket(ws, http) as connection, asyncio.TaskGroup() as group:
        await frame(connection)
        asked = group.create_task(ws.user("alice").slash("#incidents", "/cni", "help"))
        envelope = await frame(connection)
        await connection.send_json({"envelope_id": envelope["envelope_id"], "payload": {"text": "try /cni diagnose"}})
        assert (await asked).reply == {"text": "try /cni diagnose"}
        assert [one.text for one in ws.user("alice").ephemerals("#incidents")] == ["try /cni diagnose"]


async def test_the_event_of_a_dropped_socket_comes_again_on_another(http: aiohttp.ClientSession) -> None:
    async with SlackWorkspace.start(SlackOptions(retry_delays_s=(0.2, 1.0, 2.0))) as ws:
        async with socket(ws, http) as first:
            await frame(first)
            await ws.user("alice").say("#incidents", "hello")
            await frame(first)
            ws.faults.drop_sockets()
            await ws.until(lambda: not ws.sockets.connections)
        async with socket(ws, http) as second:
            await frame(second)
            envelope = await frame(second)
            assert envelope["retry_attempt"] >= 1
            assert envelope["retry_reason"] in {"connection_failed", "no_connection"}
            await second.send_json({"envelope_id": envelope["envelope_id"]})
            await ws.until(lambda: ws.deliveries.log[0].is_acked)


async def test_slack_warns_before_it_asks_to_reconnect(http: aiohttp.ClientSession) -> None:
    async with (
        SlackWorkspace.start(SlackOptions(connection_s=0.1, warning_s=0.05)) as ws,
        socket(ws, http) as connection,
    ):
        frames = [await frame(connection) for _ in range(3)]
        assert [one.get("reason", one["type"]) for one in frames] == ["hello", "warning", "refresh_requested"]
        assert (await connection.receive()).type is aiohttp.WSMsgType.CLOSE


async def test_half_open_sockets_are_deaf_and_dumb(http: aiohttp.ClientSession) -> None:
    async with (
        SlackWorkspace.start(SOON) as ws,
        http.ws_connect(await address(ws, http), autoping=False) as connection,
    ):
        await frame(connection)
        ws.faults.half_open()
        await connection.ping(b"anybody?")
        await ws.user("alice").say("#incidents", "hello")
        await ws.until(lambda: ws.deliveries.log and ws.deliveries.log[0].is_given_up)
        ws.faults.half_open(False)
        await connection.ping(b"now?")
        assert (await connection.receive()).data == b"now?"


@pytest.mark.parametrize("text", ["{", "[]", '"x"', '{"envelope_id": 7}', '{"envelope_id": []}', "[" * 100_000])
async def test_strange_frames_are_ignored(ws: SlackWorkspace, http: aiohttp.ClientSession, text: str) -> None:
    async with socket(ws, http) as connection:
        await frame(connection)
        await connection.send_str(text)
        await connection.send_bytes(b"\xff")
        await ws.user("alice").say("#incidents", "hello")
        envelope = await frame(connection)
        await connection.send_str(json.dumps({"envelope_id": envelope["envelope_id"]}))
        await ws.until(lambda: ws.deliveries.log[0].is_acked)


async def test_redelivery_though_acknowledged(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    """Late acknowledgements do that to the best of bots."""
    ws.faults.redeliver(every=2)
    async with socket(ws, http) as connection:
        await frame(connection)
        seen: list[tuple[str, int]] = []
        for text in ("one", "two", "three"):
            await ws.user("alice").say("#incidents", text)
        for _ in range(4):
            envelope = await frame(connection)
            await connection.send_json({"envelope_id": envelope["envelope_id"]})
            seen.append((envelope["payload"]["event"]["text"], envelope["retry_attempt"]))
        assert sorted(seen) == [("one", 0), ("three", 0), ("two", 0), ("two", 1)]


async def test_duplicates_look_like_first_deliveries(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    ws.faults.duplicate(every=1)
    async with socket(ws, http) as connection:
        await frame(connection)
        await ws.user("alice").say("#incidents", "hello")
        envelopes: list[dict[str, Any]] = []
        for _ in range(2):
            envelopes.append(await frame(connection))
            await connection.send_json({"envelope_id": envelopes[-1]["envelope_id"]})
        assert [one["retry_attempt"] for one in envelopes] == [0, 0]
        assert len({one["payload"]["event_id"] for one in envelopes}) == 1


async def test_events_out_of_order(ws: SlackWorkspace, http: aiohttp.ClientSession) -> None:
    ws.faults.reorder(every=2)
    async with socket(ws, http) as connection:
        await frame(connection)
        seen: list[str] = []
        for text in ("one", "two", "three"):
            await ws.user("alice").say("#incidents", text)
        for _ in range(3):
            envelope = await frame(connection)
            await connection.send_json({"envelope_id": envelope["envelope_id"]})
            seen.append(envelope["payload"]["event"]["text"])
        assert seen == ["one", "three", "two"]
