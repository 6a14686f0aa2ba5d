"""Lets a run save its state when SIGTERM or SIGINT ends it. A second signal ends it at once."""

import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class StoppedError(BaseException):
    """A run was stopped by a signal, and has saved its state."""

    def __init__(self, signum: int, step: int):
        super().__init__(f"stopped by {signal.Signals(signum).name} after step {step}")
        self.status = 128 + signum
        """Exit status, as a shell has it: 143 for SIGTERM, 130 for SIGINT."""


@dataclass
class Stop:
    """The signal that stops a run."""

    signum: int | None = None
    """Number of the signal; None: there was none."""


@contextmanager
def handled_by(handler: Any, signals: Iterable[int] = _SIGNALS) -> Iterator[None]:
    """Sets the handler of signals, as `signal.signal` takes it, and restores the earlier ones afterwards."""
    before = {signum: signal.signal(signum, handler) for signum in signals}
    try:
        yield
    finally:
        for signum, handler_before in before.items():
            signal.signal(signum, handler_before)


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """Notes the first signal in the yielded `Stop`, and lets a second one end the process.

    A signal that the process ignores stays ignored. Outside the main thread nothing is noted, because Python takes
    no signals there.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(signum: int, frame: FrameType | None) -> None:
        stop.signum = signum
        for other in heard:
            signal.signal(other, signal.SIG_DFL)

    heard = [signum for signum in _SIGNALS if signal.getsignal(signum) is not signal.SIG_IGN]
    with handled_by(note, heard):
        yield stop
