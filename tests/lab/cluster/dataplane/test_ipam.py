"""Addresses: blocks and ranges, in order, given back, exhausted."""

from __future__ import annotations

import pytest

from bot.lab.cluster.dataplane.calico import veth_name
from bot.lab.cluster.dataplane.ipam import Blocks, ExhaustedError, Range


def test_range_keeps_gateway_and_broadcast() -> None:
    addresses = Range("10.42.0.0/24", reserved=2)

    assert addresses.take() == "10.42.0.2"
    assert len({addresses.take() for _ in range(252)}) == 252
    with pytest.raises(ExhaustedError, match=r"no IP addresses available in range set: 10.42.0.2-10.42.0.254"):
        addresses.take()


def test_released_address_comes_back_last() -> None:
    addresses = Range("10.42.0.0/24", reserved=2)
    first = addresses.take()
    addresses.give_back(first)

    assert addresses.take() == "10.42.0.3"


def test_second_block_when_the_first_is_full() -> None:
    blocks = Blocks("10.42.0.0/16")
    taken = [blocks.take("node-1") for _ in range(65)]

    assert [new for _, new in taken].count(True) == 2
    assert len(blocks.of("node-1")) == 2
    assert len({address for address, _ in taken}) == 65


def test_blocks_of_nodes_do_not_overlap() -> None:
    blocks = Blocks("10.42.0.0/16")
    for number in range(1024):
        blocks.take(f"node-{number}")

    assert len({blocks.of(f"node-{number}")[0] for number in range(1024)}) == 1024
    with pytest.raises(ExhaustedError):
        blocks.take("one-too-many")


def test_veth_name_is_calicos() -> None:
    """The first eleven hexadecimal digits of SHA-1("default.nginx")."""
    assert veth_name("default", "nginx") == "calic440f455693"
