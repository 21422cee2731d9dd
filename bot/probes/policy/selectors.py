"""Label selectors and address blocks as NetworkPolicies use them, with "unknown" where labels were not seen.

True, False, or None: a selector over labels that were not read neither matches nor fails to. An absent selector and
an empty one mean opposite things in a policy; which one stands where is the caller's business.

Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from bot.cluster.objects import IPBlock, LabelSelector, LabelSelectorRequirement

NAMESPACE_NAME = "kubernetes.io/metadata.name"
"""The label that the API server sets on every Namespace, so it is known even where Namespaces cannot be read."""


def all_of(parts: Iterable[bool | None]) -> bool | None:
    """False if one is, else None if one is unknown, else True."""
    unknown = False
    for part in parts:
        if part is False:
            return False
        unknown = unknown or part is None
    return None if unknown else True


def any_of(parts: Iterable[bool | None]) -> bool | None:
    """True if one is, else None if one is unknown, else False."""
    unknown = False
    for part in parts:
        if part:
            return True
        unknown = unknown or part is None
    return None if unknown else False


def selects(selector: LabelSelector, labels: Mapping[str, str], *, are_complete: bool = True) -> bool | None:
    """Whether a selector takes an object with these labels; None when that hangs on labels that were not read."""
    return all_of(
        (
            *(_equal(labels, key, value, are_complete) for key, value in selector.match_labels.items()),
            *(_meets(labels, each, are_complete) for each in selector.match_expressions),
        )
    )


def _equal(labels: Mapping[str, str], key: str, value: str, are_complete: bool) -> bool | None:  # noqa: FBT001 private
    if key in labels:
        return labels[key] == value
    return False if are_complete else None


def _meets(labels: Mapping[str, str], wanted: LabelSelectorRequirement, are_complete: bool) -> bool | None:  # noqa: FBT001 private
    if wanted.key not in labels and not are_complete:
        return None
    value = labels.get(wanted.key)
    match wanted.operator:
        case "In":
            return value in wanted.values
        case "NotIn":
            return value not in wanted.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case _:
            return None


def asked_by(selector: LabelSelector) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The label keys that a selector asks about, each with the values that it names."""
    yield from ((key, (value,)) for key, value in selector.match_labels.items())
    yield from ((each.key, each.values) for each in selector.match_expressions)


@lru_cache(maxsize=4096)
def network(cidr: str) -> IPv4Network | IPv6Network | None:
    """A CIDR as a network, None when it is none."""
    try:
        return ip_network(cidr, strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=16384)
def address(ip: str) -> IPv4Address | IPv6Address | None:
    """An address, None when the text is none."""
    try:
        return ip_address(ip)
    except ValueError:
        return None


def is_within(ip: str, cidr: str) -> bool:
    """Whether an address lies in a network; false for anything that is not an address or a network."""
    where, what = network(cidr), address(ip)
    return where is not None and what is not None and what.version == where.version and what in where


def block_has(block: IPBlock, ip: str) -> bool:
    """Whether an ipBlock takes an address: inside its CIDR and inside none of the exceptions."""
    return is_within(ip, block.cidr) and not any(is_within(ip, each) for each in block.except_)
