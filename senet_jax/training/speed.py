"""Images per second of a run, and the share of the time in which the devices wait for data."""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from senet_jax.training.logs import Logs, NoLogs
from senet_jax.typing import Array


class Speed:
    """Counts images and seconds of the training steps, without compilation, evaluation and checkpoints."""

    def __init__(self, log: Logs | NoLogs):
        """Writes into the log when a step compiles."""
        self.compile_seconds = 0.0
        self._log, self._images, self._seconds, self._waited = log, 0, 0.0, 0.0
        self._thread = ThreadPoolExecutor(1, "end of steps")
        self._ends: deque[Future[float]] = deque()

    @contextmanager
    def measure(self, images: int, *, compiles: bool) -> Iterator[None]:
        """Measures a step; a step that compiles is logged on its own."""
        if compiles:
            self._log.say("compiling the training step")
        began = time.perf_counter()
        yield
        seconds = time.perf_counter() - began
        if compiles:
            self.compile_seconds += seconds
            self._log.say(f"compiled, with the first step, in {seconds:.1f} s")
        else:
            self._images += images
            self._seconds += seconds

    def next(self, batches: Iterator[Any]) -> Any:
        """Returns the next batch; the time that devices without work wait for it is counted."""
        began = time.perf_counter()
        batch = next(batches)
        if self._ends and self._ends[-1].done():
            self._waited += time.perf_counter() - max(began, self._ends[-1].result())
        return batch

    def dispatched(self, step: Array) -> None:
        """Watches for the end of a step on the devices, by a number that it computes, and waits for the one before.

        So two steps at most are under way, and no more batches than two wait for them on the devices.
        """
        self._ends.append(self._thread.submit(_end, jnp.copy(step)))  # The next step donates the number itself.
        if len(self._ends) > 1:
            self._ends.popleft().result()

    def take(self) -> dict[str, float]:
        """Returns images_per_second, seconds and data_wait since the last call; empty if nothing was measured.

        data_wait is the share of the seconds in which the devices had nothing to do but wait for a batch.
        """
        images, seconds, waited = self._images, self._seconds, self._waited
        self._images, self._seconds, self._waited = 0, 0.0, 0.0
        if not images:
            return {}
        return {"images_per_second": images / seconds, "seconds": seconds, "data_wait": min(1.0, waited / seconds)}

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown(cancel_futures=True)


def _end(number: Array) -> float:
    jax.block_until_ready(number)
    return time.perf_counter()
