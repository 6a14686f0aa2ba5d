"""Settings of glibc's allocator for CPUs: huge pages, and freed memory that stays in the process.

XLA on CPUs allocates every output and all temporary memory anew. By default glibc gives large blocks back to the
system, which clears each page before it gives it out again.
"""

import ctypes
import os
import platform
import sys

TUNABLES = (
    f"glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold={2**62}:glibc.malloc.top_pad={2**26}"
)
"""Value of the environment variable GLIBC_TUNABLES, which glibc reads when a process starts."""


def restart() -> None:
    """Starts this process again with `TUNABLES`, under the same number and with the same arguments.

    Nothing happens if GLIBC_TUNABLES is set, even to nothing, or if the C library is not glibc.
    """
    if "GLIBC_TUNABLES" not in os.environ and platform.libc_ver()[0] == "glibc":
        os.environ["GLIBC_TUNABLES"] = TUNABLES
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def trim() -> None:
    """Gives freed memory back to the system, such as the hundreds of MiB of a compilation; glibc alone can."""
    if platform.libc_ver()[0] == "glibc":
        ctypes.CDLL(None).malloc_trim(0)


if __name__ == "__main__":
    print(TUNABLES)
