"""The program behind the tracepoint skb:kfree_skb: who dropped which packet, why, on which device, in which namespace.

About 150 instructions, put together here: a node has no compiler. It reads kernel memory and writes records into a
ring buffer; it can neither change nor delay a packet.

Source: https://docs.kernel.org/bpf/standardization/instruction-set.html
"""

import struct

from bot.agent.trace.btf import Btf

STRUCTURES = ("sk_buff", "net_device", "net", "sock")
RECORD_BYTES = 320
RECORD = struct.Struct("=QIHHIIII")
"""Location, reason, protocol, network header, ifindex, namespace of the device, of the socket, padding."""
DEVICE_AT, DEVICE_BYTES = 32, 16
SCRATCH_AT = 48
PACKET_AT, PACKET_BYTES = 64, 128
STACK_AT, STACK_BYTES = 224, 96
LOCATION_AT, REASON_AT, PROTOCOL_AT, HEADER_AT, IFINDEX_AT, NETNS_AT, SOCKET_NETNS_AT = 0, 8, 12, 14, 16, 20, 24
BASE = -RECORD_BYTES - 16

_PROBE_READ_KERNEL, _GET_STACK, _RINGBUF_OUTPUT = 113, 67, 130
_R0, _R1, _R2, _R3, _R4, _R6, _R7, _R8, _R9, _R10 = 0, 1, 2, 3, 4, 6, 7, 8, 9, 10
_LOAD_64, _LOAD_16, _STORE_64, _STORE_32 = 0x79, 0x69, 0x7B, 0x63
_MOVE, _MOVE_VALUE, _ADD, _ADD_VALUE, _CALL, _EXIT, _LOAD_MAP = 0xBF, 0xB7, 0x0F, 0x07, 0x85, 0x95, 0x18


def instruction(code: int, target: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    """One instruction of eight bytes."""
    return struct.pack("<BBhi", code, source << 4 | target, offset, value)


def program(btf: Btf, map_fd: int) -> bytes:
    """The program for this kernel, writing to that ring buffer. BtfError where the kernel lacks what it reads."""
    code: list[bytes] = []

    def add(*instructions: bytes) -> None:
        code.extend(instructions)

    def store(register: int, at: int, size: int = _STORE_64) -> None:
        add(instruction(size, _R10, register, BASE + at))

    def read(at: int, length: int, register: int, offset: int) -> None:
        """Copy kernel memory into the record; what cannot be read stays zero."""
        add(
            instruction(_MOVE, _R1, _R10),
            instruction(_ADD_VALUE, _R1, value=BASE + at),
            instruction(_MOVE_VALUE, _R2, value=length),
            instruction(_MOVE, _R3, register),
            instruction(_ADD_VALUE, _R3, value=offset),
            instruction(_CALL, value=_PROBE_READ_KERNEL),
        )

    def follow(register: int, offset: int) -> None:
        """Load the pointer that stands there into R8."""
        read(SCRATCH_AT, 8, register, offset)
        add(instruction(_LOAD_64, _R8, _R10, BASE + SCRATCH_AT))

    add(instruction(_MOVE, _R6, _R1), instruction(_LOAD_64, _R7, _R6), instruction(_MOVE_VALUE, _R0))
    for at in range(0, RECORD_BYTES, 8):
        store(_R0, at)
    add(instruction(_LOAD_64, _R0, _R6, 8))
    store(_R0, LOCATION_AT)
    if btf.drop_reasons:
        add(instruction(_LOAD_64, _R0, _R6, 16))
        store(_R0, REASON_AT, _STORE_32)
    read(PROTOCOL_AT, 2, _R7, btf.offset("sk_buff", "protocol"))
    read(HEADER_AT, 2, _R7, btf.offset("sk_buff", "network_header"))
    follow(_R7, btf.offset("sk_buff", "dev"))
    read(IFINDEX_AT, 4, _R8, btf.offset("net_device", "ifindex"))
    read(DEVICE_AT, DEVICE_BYTES, _R8, btf.offset("net_device", "name"))
    follow(_R8, btf.offset("net_device", "nd_net.net"))
    read(NETNS_AT, 4, _R8, btf.offset("net", "ns.inum"))
    follow(_R7, btf.offset("sk_buff", "sk"))
    follow(_R8, btf.offset("sock", "__sk_common.skc_net"))
    read(SOCKET_NETNS_AT, 4, _R8, btf.offset("net", "ns.inum"))
    follow(_R7, btf.offset("sk_buff", "head"))
    add(instruction(_LOAD_16, _R9, _R10, BASE + HEADER_AT), instruction(_ADD, _R8, _R9))
    read(PACKET_AT, PACKET_BYTES, _R8, 0)
    add(
        instruction(_MOVE, _R1, _R6),
        instruction(_MOVE, _R2, _R10),
        instruction(_ADD_VALUE, _R2, value=BASE + STACK_AT),
        instruction(_MOVE_VALUE, _R3, value=STACK_BYTES),
        instruction(_MOVE_VALUE, _R4),
        instruction(_CALL, value=_GET_STACK),
        instruction(_LOAD_MAP, _R1, 1, value=map_fd),
        instruction(0),
        instruction(_MOVE, _R2, _R10),
        instruction(_ADD_VALUE, _R2, value=BASE),
        instruction(_MOVE_VALUE, _R3, value=RECORD_BYTES),
        instruction(_MOVE_VALUE, _R4),
        instruction(_CALL, value=_RINGBUF_OUTPUT),
        instruction(_MOVE_VALUE, _R0),
        instruction(_EXIT),
    )
    return b"".join(code)
