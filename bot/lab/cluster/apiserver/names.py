"""Names: what Kubernetes generates, and what it accepts."""

import random
import re

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
"""No vowels and no look-alikes, as in k8s.io/apimachinery/pkg/util/rand."""

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_QUALIFIED = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]")
_SHAPE = (
    "must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character"
)


def suffix(rng: random.Random, length: int = 5) -> str:
    """A random ending for a name."""
    return "".join(rng.choices(_ALPHABET, k=length))


def generate(rng: random.Random, prefix: str) -> str:
    """A name from `generateName`."""
    return prefix[:58] + suffix(rng)


def safe_encode(text: str) -> str:
    """Digits as the letters that hashes in names are made of."""
    return "".join(_ALPHABET[ord(char) % len(_ALPHABET)] for char in text)


def label_fault(name: str) -> str:
    """What is wrong with an RFC 1123 label, or nothing."""
    if len(name) > 63:
        return "must be no more than 63 characters"
    if _LABEL.fullmatch(name):
        return ""
    return (
        f"a lowercase RFC 1123 label {_SHAPE} (e.g. 'my-name',  or '123-abc', "
        f"regex used for validation is '{_LABEL.pattern}')"
    )


def subdomain_fault(name: str) -> str:
    """What is wrong with an RFC 1123 subdomain, or nothing."""
    if len(name) > 253:
        return "must be no more than 253 characters"
    if _SUBDOMAIN.fullmatch(name):
        return ""
    shape = _SHAPE.replace("characters or '-'", "characters, '-' or '.'")
    return (
        f"a lowercase RFC 1123 subdomain {shape} (e.g. 'example.com', "
        f"regex used for validation is '{_SUBDOMAIN.pattern}')"
    )


def path_segment_fault(name: str) -> str:
    """What is wrong with a name of RBAC objects, which may hold anything that fits a path."""
    if name in {".", ".."}:
        return f"may not be '{name}'"
    for char in "/%":
        if char in name:
            return f"may not contain '{char}'"
    return ""


def label_value_fault(value: str) -> str:
    """What is wrong with the value of a label, or nothing."""
    if len(value) > 63:
        return "must be no more than 63 characters"
    if not value or _QUALIFIED.fullmatch(value):
        return ""
    return (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
        "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for "
        "validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    )


def qualified_fault(key: str) -> str:
    """What is wrong with the key of a label or annotation, or nothing."""
    prefix, slash, name = key.rpartition("/")
    if slash and (fault := subdomain_fault(prefix)):
        return f"prefix part {fault}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 characters"
    if _QUALIFIED.fullmatch(name):
        return ""
    return (
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
        "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
    )
