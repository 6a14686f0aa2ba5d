"""Saves the state of a run when SIGTERM or SIGINT ends it. A second signal ends a single process at once."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

from jax.experimental import multihost_utils

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
    together: bool = False
    """Whether several processes stop together, wherever the signal arrives."""
    _asked: int = 0
    """Step up to which jax was asked whether to stop."""

    def after(self, step: int) -> bool:
        """Returns whether to stop after this step, the same in all processes. It is called for every step, in order."""
        if self.together:
            # A signal before the first step of a resumed run has a point among the steps before it.
            points, self._asked = range(self._asked + 1, step + 1), step
            if not any(map(multihost_utils.reached_preemption_sync_point, points)):
                return False
            self.signum = self.signum or signal.SIGTERM
            signal.signal(signal.SIGTERM, signal.SIG_IGN)  # Each has its own in its time, and all have to save.
            if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
                signal.signal(signal.SIGINT, signal.SIG_DFL)
        return self.signum is not None


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
def stop_on_signals(*, together: bool = False) -> Iterator[Stop]:
    """Notes the first signal in the yielded `Stop`, and lets a second one end the process, if no other one began it.

    A signal that the process ignores stays ignored. Outside the main thread nothing is noted, because Python takes
    no signals there. With `together` jax.distributed handles SIGTERM and tells all processes; SIGINT becomes SIGTERM. A
    SIGTERM after the step on which they agree changes nothing.
    """
    stop = Stop(together=together)
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def note(signum: int, frame: FrameType | None) -> None:
        stop.signum = signum
        # A run of a sweep can have SIGTERM from the system and from the sweep, which kills it if it takes too long.
        further = signal.SIG_DFL if multiprocessing.parent_process() is None else signal.SIG_IGN
        for other in heard:
            signal.signal(other, further)
        if together:
            os.kill(os.getpid(), signal.SIGTERM)

    signals = (signal.SIGINT,) if together else _SIGNALS
    heard = [signum for signum in signals if signal.getsignal(signum) is not signal.SIG_IGN]
    with handled_by(note, heard):
        yield stop


@contextmanager
def ended_at_once(step: int) -> Iterator[None]:
    """Lets the first signal end the process, with its status and a line, while the body runs: nothing is to be saved.

    It is for a body that stays outside of Python for long, as compilation does. It runs within `stop_on_signals` after
    `step` steps that are saved, or 0. Outside the main thread a signal changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end() -> None:
        if (signum := os.read(arrived, 1)[0]) in _SIGNALS:
            error = StoppedError(signum, step)
            print(f"\n{error}; the same command goes on", flush=True)
            os._exit(error.status)

    arrived, write = os.pipe()
    os.set_blocking(write, False)
    before = signal.set_wakeup_fd(write)
    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        os.write(write, b"\0")
        thread.join()
        os.close(arrived)
        os.close(write)
