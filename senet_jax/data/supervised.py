"""Batches from worker processes, and an error that names a worker that dies or stands still."""

import multiprocessing
import queue
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from senet_jax.workdir import RunError

_POLL = 0.5
"""Seconds between two looks at the workers, while a batch is waited for."""
_STOPPED = 3.0
"""Seconds for which a worker may be stopped, as after Ctrl-Z and `fg`."""


class WorkerError(RunError):
    """A worker process of the data pipeline can make no more batches."""


class _Workers:
    """The processes that were started between construction and `complete`."""

    def __init__(self) -> None:
        self._others = set(multiprocessing.active_children())
        self._found: list[Any] = []
        self._complete = False
        self._stopped_since: dict[int, float] = {}

    def complete(self) -> None:
        """Ends the collection of workers."""
        if not self._complete:
            self._find()
            self._complete = True

    def check(self) -> None:
        """Raises WorkerError if one has died or is stopped."""
        if not self._complete:
            self._find()
        for number, worker in enumerate(self._found, 1):
            named = f"data worker {number} of {len(self._found)}, process {worker.pid},"
            code = worker.exitcode
            if code:
                how = f"by {signal.Signals(-code).name}" if code < 0 else f"with status {code}"
                raise WorkerError(
                    f"{named} was ended {how}; if the memory was full, give a smaller config.data.workers"
                )
            if not _is_stopped(worker.pid):
                self._stopped_since.pop(worker.pid, None)
            elif time.monotonic() - self._stopped_since.setdefault(worker.pid, time.monotonic()) > _STOPPED:
                raise WorkerError(f"{named} is stopped by a signal, and no batch comes from it")

    def kill(self) -> None:
        """Ends the workers that still run, including stopped ones."""
        for worker in self._found:
            worker.kill()

    def _find(self) -> None:
        new = set(multiprocessing.active_children()) - self._others - set(self._found)
        self._found += sorted(new, key=lambda worker: worker.pid or 0)


def supervised(batches: Iterator[Any]) -> Iterator[Any]:
    """Yields the batches; the first starts the workers. Raises WorkerError within ten seconds of a fault."""
    workers = _Workers()
    wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
    made: queue.SimpleQueue[tuple[Any, BaseException | None]] = queue.SimpleQueue()

    def make() -> None:
        while wanted.get():
            try:
                made.put((next(batches), None))
            except BaseException as error:  # Raised again in the waiting thread.
                made.put((None, error))
                return

    threading.Thread(target=make, daemon=True).start()  # It can wait for ever for a worker that has died.
    try:
        while True:
            wanted.put(True)
            batch, error = _wait(made, workers)
            if isinstance(error, StopIteration):
                return
            if error is not None:
                workers.check()
                raise error
            workers.complete()
            yield batch
    except WorkerError:
        workers.kill()
        raise
    finally:
        wanted.put(False)


def _wait(made: queue.SimpleQueue, workers: _Workers) -> Any:
    while True:
        try:
            return made.get(timeout=_POLL)
        except queue.Empty:
            workers.check()


def _is_stopped(pid: int) -> bool:
    """Returns whether a process is stopped by a signal, if the system tells it (Linux does)."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] in ("T", "t")
