"""Which answers count, also when nobody ran the agent while they came."""

import asyncio
import random
import socket

import pytest

from bot.agent import arp
from bot.agent.arp import ETH_P_ARP, ETHERNET_IPV4, REPLY, ArpQuestion, Tally, arp_request

GATEWAY = "10.244.0.1"
MAC = bytes.fromhex("8617b870ed8e")
QUESTION = ArpQuestion(dev="eth0", mac=b"\x02" * 6, src="10.244.0.7", ip=GATEWAY)


def answer() -> bytes:
    body = ETHERNET_IPV4.pack(
        1, 0x0800, 6, 4, REPLY, MAC, socket.inet_aton(GATEWAY), QUESTION.mac, socket.inet_aton(QUESTION.src)
    )
    return (QUESTION.mac + MAC + ETH_P_ARP.to_bytes(2, "big") + body).ljust(60, b"\0")


async def test_answers_that_the_event_loop_never_noticed_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy node the time to wait may pass before the loop is run again: the kernel kept what came meanwhile."""

    async def unnoticed(_: socket.socket) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(arp, "ready", unnoticed)
    monkeypatch.setattr(arp, "GAP_S", (0.0, 0.0))
    monkeypatch.setattr(arp, "GAP_ANSWERED_S", (0.0, 0.0))
    monkeypatch.setattr(arp, "WAIT_S", 0.01)
    ours, wire = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, wire:
        ours.setblocking(False)
        for _ in range(3):
            wire.send(answer())

        result = await arp_request(ours, QUESTION, 3, random.Random(1), Tally())

    assert [each is not None for each in result.answers_ms] == [True, True, True]
    assert result.macs == (MAC.hex(":"),)
