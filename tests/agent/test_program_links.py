"""Links between BPF programs and hooks of netfilter, as kernels describe, lack or refuse them."""

import errno
import struct

import pytest

from bot.agent import bpf
from bot.agent.attached import read_netfilter_programs
from bot.agent.bpf import NetfilterLink, netfilter_link, netfilter_links

RECORDED = bytes.fromhex("0a0000007c0800008408000000000000" + "0200000002000000" + "6affffff00000000").ljust(256, b"\0")
"""Of a link to the hook forward, priority -150, by Linux 6.18."""


def test_a_link_of_netfilter() -> None:
    assert netfilter_link(RECORDED) == NetfilterLink(program=2180, family=2, hook=2, priority=-150)


def test_a_link_of_another_kind() -> None:
    assert netfilter_link(struct.pack("=IIIIII", bpf.LINK_TCX, 1, 2, 0, 2, 46).ljust(256, b"\0")) is None


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOENT], ids=["before Linux 5.8", "no link"])
def test_a_kernel_without_links_has_no_such_programs(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: object) -> int:
        raise OSError(code, "no")

    monkeypatch.setattr("bot.agent.bpf._call", answer)

    assert read_netfilter_programs() == ()


def test_where_links_are_refused_they_are_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError(errno.EPERM, "no")

    monkeypatch.setattr("bot.agent.bpf._call", refuse)

    with pytest.raises(PermissionError):
        read_netfilter_programs()


def test_more_links_than_are_asked_about_are_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    def next_of(number: int) -> int:
        return number + 1

    def gone(*_: object) -> int:
        raise OSError(errno.ENOENT, "gone")

    monkeypatch.setattr("bot.agent.bpf._next_link", next_of)
    monkeypatch.setattr("bot.agent.bpf._bpf", gone)

    with pytest.raises(OSError, match="more than"):
        list(netfilter_links())
