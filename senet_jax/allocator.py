"""Freed memory that stays in the process: on Linux, page faults cost more than any convolution.

    GLIBC_TUNABLES=$(python -m senet_jax.allocator) python launch.py ...

starts a process that keeps memory from its start, in huge pages if the system allows them, which is faster than
`keep_memory` in a running process.
"""

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX, _M_ARENA_MAX = -1, -2, -4, -8  # malloc.h of glibc.
TUNABLES = (
    "glibc.malloc.hugetlb=1:glibc.malloc.arena_max=1:glibc.malloc.mmap_max=0:"
    f"glibc.malloc.trim_threshold={2**62}:glibc.malloc.top_pad={2**26}"
)
"""Value of the environment variable GLIBC_TUNABLES: the same settings, and huge pages."""


def keep_memory() -> bool:
    """Makes glibc keep all freed memory for the whole process; returns whether it does.

    XLA on CPUs allocates every output and all temporary memory anew, by default from the system, which clears each
    page. Call it before the first large allocation. The process then never shrinks. If the C library is not glibc,
    nothing changes and the result is False.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = {_M_MMAP_MAX: 0, _M_TRIM_THRESHOLD: -1, _M_TOP_PAD: 64 << 20, _M_ARENA_MAX: 1}
    return all([library.mallopt(name, value) for name, value in settings.items()])


if __name__ == "__main__":
    print(TUNABLES)
