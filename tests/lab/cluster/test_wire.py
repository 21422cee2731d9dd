"""Messages and descriptors between the lab's processes."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from bot.lab.cluster import linux
from bot.lab.cluster.state import StateDirectory, default_directory
from bot.lab.cluster.wire import BlockingChannel, Channel, Parser, WireError


async def test_message_with_descriptor() -> None:
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    read_end, write_end = os.pipe()
    try:
        sender.send({"hello": "wörld"}, [write_end])
        async with asyncio.timeout(5):
            received = await receiver.receive()
        assert received is not None
        message, (fd,) = received
        os.write(fd, b"through")
        os.close(fd)
        assert message == {"hello": "wörld"}
        assert os.read(read_end, 100) == b"through"
    finally:
        sender.close()
        receiver.close()
        os.close(read_end)
        os.close(write_end)


async def test_messages_larger_than_the_socket_buffer_arrive_whole_and_in_order() -> None:
    left, right = socket.socketpair()
    sender, receiver = Channel(left), Channel(right)
    try:
        for number in range(3):
            sender.send({"number": number, "text": "x" * 1_000_000})
        async with asyncio.timeout(10):
            numbers = [(await receiver.receive() or ({}, []))[0]["number"] for _ in range(3)]
        assert numbers == [0, 1, 2]
    finally:
        sender.close()
        receiver.close()


async def test_end_of_the_peer_is_told_once_everything_was_read() -> None:
    left, right = socket.socketpair()
    blocking, receiver = BlockingChannel(left), Channel(right)
    blocking.send({"last": 1})
    left.close()
    try:
        async with asyncio.timeout(5):
            assert (await receiver.receive(), await receiver.receive()) == (({"last": 1}, []), None)
    finally:
        receiver.close()
    with pytest.raises(WireError):
        receiver.send({})


@pytest.mark.parametrize("line", [b"nonsense\n", b"[1]\n", b'{"fds": 1}\n'])
def test_strangers_are_cut_off(line: bytes) -> None:
    with pytest.raises(WireError):
        Parser().feed(line, [])


def test_recycled_pid_is_not_the_daemon(tmp_path: Path) -> None:
    """A number alone would have the lab kill a stranger."""
    state = StateDirectory(tmp_path)
    state.write_daemon(os.getpid())
    assert state.daemon_pid() == os.getpid()

    record = tmp_path / "lab.json"
    record.write_text(record.read_text().replace(str(linux.start_time_ticks(os.getpid())), "1"))

    assert state.daemon_pid() is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', '{"pid": 1}'])
def test_damaged_record_means_no_daemon(tmp_path: Path, content: str) -> None:
    (tmp_path / "lab.json").write_text(content)

    assert StateDirectory(tmp_path).daemon_pid() is None


def test_default_directory() -> None:
    home = Path("/home/me")

    assert default_directory({"CNIBOT_STATE_DIR": "/s"}, home) == Path("/s/lab")
    assert default_directory({"XDG_STATE_HOME": "/x"}, home) == Path("/x/cnibot/lab")
    assert default_directory({}, home) == Path("/home/me/.local/state/cnibot/lab")


def test_socket_in_a_directory_with_a_long_name(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 120)
    deep.mkdir()
    state = StateDirectory(deep)

    with state.listen() as listener, state.connect() as client:
        accepted, _ = listener.accept()
        with accepted:
            client.send(b"hi")
            assert accepted.recv(10) == b"hi"
