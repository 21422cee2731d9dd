"""DNS messages, through dnslib, which carries no types: this is the only module that imports it."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from dnslib import CNAME, QTYPE, RCODE, RR, SRV, A, DNSError, DNSRecord

NOERROR = 0
SERVFAIL = int(RCODE.SERVFAIL)
NXDOMAIN = int(RCODE.NXDOMAIN)


class MalformedError(Exception):
    """Not a DNS message."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A question: its name in lower case without the final dot, and its type's name (``A``, ``AAAA``, ``SRV``…)."""

    name: str
    kind: str
    record: Any


def parse(data: bytes) -> Query:
    """Raises MalformedError."""
    try:
        record = DNSRecord.parse(data)
        return Query(name=str(record.q.qname).rstrip(".").lower(), kind=str(QTYPE[record.q.qtype]), record=record)
    except (DNSError, ValueError) as error:
        raise MalformedError(str(error)) from error


def reply(
    query: Query,
    *,
    rcode: int = NOERROR,
    addresses: Sequence[str] = (),
    targets: Sequence[tuple[int, str]] = (),
    ttl_s: int = 5,
    authoritative: bool = True,
) -> bytes:
    """The answer to a query: A records, or SRV records of (port, target)."""
    message = query.record.reply(aa=int(authoritative))
    message.header.rcode = rcode
    for address in addresses:
        message.add_answer(RR(query.record.q.qname, QTYPE.A, rdata=A(address), ttl=ttl_s))
    for port, target in targets:
        message.add_answer(RR(query.record.q.qname, QTYPE.SRV, rdata=SRV(0, 100, port, target), ttl=ttl_s))
    return bytes(message.pack())


def aliased(query: Query, name: str, ask: Callable[[bytes], bytes]) -> bytes:
    """A CNAME with whatever addresses `ask` has for it: none is no error, as in CoreDNS."""
    message = query.record.reply(aa=1)
    message.add_answer(RR(query.record.q.qname, QTYPE.CNAME, rdata=CNAME(name), ttl=5))
    for record in DNSRecord.parse(ask(bytes(DNSRecord.question(name, query.kind).pack()))).rr:
        message.add_answer(record)
    return bytes(message.pack())
