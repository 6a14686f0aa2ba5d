"""Ends a process that makes no progress, because a data worker or a device hangs."""

import faulthandler
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STDERR = 2
"""File descriptor, which redirecting `sys.stderr` does not change."""
_PARTS = 20
"""Number of waits that make up the time."""


@contextmanager
def watched(seconds: float | None) -> Iterator[Callable[[], None]]:
    """Prints the stacks of all threads and ends the process, with status 1, if its body takes longer; None: never.

    A call of the yielded function restarts the time. The time in which the process is stopped, as after Ctrl-Z or by
    the scheduler of a cluster, does not count: a wait counts as it was meant, not as it took.
    """
    ended, waits = threading.Event(), 0

    def restart() -> None:
        nonlocal waits
        waits = 0

    def watch(seconds: float) -> None:
        nonlocal waits
        while not ended.wait(seconds / _PARTS):
            waits += 1
            if waits == _PARTS:
                os.write(_STDERR, f"error: no progress for {seconds:g} seconds; the stacks of all threads:\n".encode())
                faulthandler.dump_traceback(_STDERR)
                os._exit(1)

    if seconds is not None:
        threading.Thread(target=watch, args=(seconds,), daemon=True).start()
    try:
        yield restart
    finally:
        ended.set()
