"""Files and text that others wrote: regular files of bounded size, and mistakes in them without what stands there."""

import errno
import os
import re
import stat
from pathlib import Path

_PIECE = 2**20


def read_file(path: Path, most_bytes: int) -> bytes:
    """What a regular file holds. OSError for anything else (a pipe would wait, a device never ends) and for more."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        parts: list[bytes] = []
        left = most_bytes + 1
        while left and (part := os.read(descriptor, min(left, _PIECE))):
            parts.append(part)
            left -= len(part)
    finally:
        os.close(descriptor)
    if not left:
        raise OSError(errno.EFBIG, f"it is larger than {most_bytes >> 10} KiB")
    return b"".join(parts)


def read_text(path: Path, most_bytes: int) -> str:
    """The same as UTF-8. Errors: OSError, UnicodeDecodeError."""
    return read_file(path, most_bytes).decode("utf-8")


def whole_number(value: object, most_digits: int = 18) -> int | None:
    """A whole number of others', as text or as it is; None for anything else.

    Also for thousands of digits, which `int` refuses, and for digits of other scripts, which it takes.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    text = value if isinstance(value, str) else ""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= most_digits else None


def yaml_mistake(error: Exception) -> str:
    """What is wrong with a YAML text, and where, without a word of the text: the line beside may hold a secret."""
    problem = re.sub(r"'[^']*'|\"[^\"]*\"", "…", str(getattr(error, "problem", None) or "")) or "it is not YAML"
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem
