"""IPsec policies of a namespace that block packets, or that require a tunnel whose key does not exist.

Source: include/uapi/linux/xfrm.h; Documentation/networking/xfrm_proc.rst
"""

import socket
import struct
from collections.abc import Iterator
from contextlib import suppress

from bot.agent.files import read_text
from bot.agent.netlink import NETLINK_XFRM, NetlinkSocket, attributes
from bot.agent.report import IpsecPolicy
from bot.agent.rtnetlink import ip_text

XFRM_MSG_NEWSA, XFRM_MSG_GETSA = 0x10, 0x12
XFRM_MSG_NEWPOLICY, XFRM_MSG_GETPOLICY = 0x13, 0x15
XFRMA_TMPL = 5
SELECTOR = struct.Struct("=16s16s8xHBBB3xiI")
POLICY_AT = SELECTOR.size + 64 + 32
"""Behind the selector stand limits and use."""
POLICY = struct.Struct("=IIBBBB")
TEMPLATE_DST = 0
STATE_DST = SELECTOR.size
DIRECTIONS = {0: "in", 1: "out", 2: "fwd"}
BLOCK = 1
STAT = "/proc/thread-self/net/xfrm_stat"


def read_ipsec() -> Iterator[IpsecPolicy]:
    """The IPv4 policies of the thread's namespace. OSError when the kernel refuses."""
    with NetlinkSocket(NETLINK_XFRM) as netlink:
        policies = netlink.dump(XFRM_MSG_GETPOLICY, b"")
        keys = {
            body[STATE_DST : STATE_DST + 4]
            for kind, body in netlink.dump(XFRM_MSG_GETSA, b"")
            if kind == XFRM_MSG_NEWSA
        }
    for kind, body in policies:
        if kind == XFRM_MSG_NEWPOLICY and (policy := _policy(body, keys)):
            yield policy


def _policy(body: bytes, keys: set[bytes]) -> IpsecPolicy | None:
    dst, src, family, dst_len, src_len, _, _, _ = SELECTOR.unpack_from(body)
    _, _, direction, action, _, _ = POLICY.unpack_from(body, POLICY_AT)
    if family not in {socket.AF_INET, socket.AF_UNSPEC} or direction not in DIRECTIONS:
        return None
    template = attributes(body, POLICY_AT + POLICY.size + 4).get(XFRMA_TMPL)
    return IpsecPolicy(
        direction=DIRECTIONS[direction],
        action="block" if action == BLOCK else "allow",
        src=f"{ip_text(src[:4])}/{src_len}",
        dst=f"{ip_text(dst[:4])}/{dst_len}",
        has_state=template[TEMPLATE_DST : TEMPLATE_DST + 4] in keys if template else None,
    )


def read_ipsec_counters() -> dict[str, int]:
    """What IPsec refused, by reason ("Xfrm.OutPolBlock"); empty where the kernel does not count."""
    found: dict[str, int] = {}
    with suppress(OSError):
        for line in read_text(STAT).splitlines():
            name, _, value = line.partition(" ")
            if name.startswith("Xfrm") and value.strip().isdecimal():
                found[f"Xfrm.{name.removeprefix('Xfrm')}"] = int(value)
    return found
