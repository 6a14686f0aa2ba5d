"""Ends a process that makes no progress, because a data worker or a device hangs."""

import faulthandler
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_STDERR = 2
"""File descriptor, which redirecting `sys.stderr` does not change."""


@contextmanager
def watched(seconds: float | None) -> Iterator[Callable[[], None]]:
    """Prints the stacks of all threads and ends the process, with status 1, if its body takes longer; None: never.

    A call of the yielded function restarts the time.
    """

    def start() -> None:
        if seconds is not None:
            faulthandler.dump_traceback_later(seconds, exit=True, file=_STDERR)

    start()
    try:
        yield start
    finally:
        faulthandler.cancel_dump_traceback_later()
