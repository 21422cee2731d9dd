"""Giving memory back after hard work."""

import ctypes
import gc


def give_back() -> None:
    """Hand free memory back to the kernel, which glibc does by itself only from the top of its heap.

    Blocks for some tens of milliseconds: for idle moments. Other C libraries than glibc are left alone.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
