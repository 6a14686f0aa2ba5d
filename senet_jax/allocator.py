"""Keeping memory in the process instead of giving it back: on Linux page faults cost more than any convolution."""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # malloc.h of glibc.


def keep_memory() -> bool:
    """Has glibc keep all memory that was freed, for the whole process; returns whether it does.

    XLA on CPUs allocates every output and all temporary memory anew, by default from the system, which clears each
    page. To be called before the first large allocation. The process then never shrinks. False, with nothing changed,
    where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1, _M_TOP_PAD: 64 << 20, _M_ARENA_MAX: 1}
    return all([library.mallopt(name, value) for name, value in settings.items()])
