"""Progress of work that takes more than two seconds: a bar on a terminal, elsewhere plain lines on stderr.

tqdm is imported when it is needed: `--help` and `list` work without it, if the modules alone are installed.
"""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")

_FIRST, _LONGEST = 2.0, 60.0
"""Seconds before the first line; the time between lines doubles up to the second."""
_running: list[threading.Event] = []
"""The work under way, the innermost last: it alone prints lines. An event is set when its work ends."""


def progress(
    items: Iterable[Item], total: int, task: str, unit: str, *, done: int = 0, size: Callable[[Item], int] = lambda _: 1
) -> Iterator[Item]:
    """Yields the items, and shows how many of them are done: "evaluating: 12 of 40 batches, 01:10 left".

    Args:
      items: the work; each item is done when the next one is asked for.
      total: number of units of all items.
      task: a present participle, such as "evaluating".
      unit: plural noun for the units, such as "batches".
      done: number of units that were done before.
      size: function of an item that returns its units.
    """
    from senet_jax.terminal.bars import tqdm

    if sys.stderr.isatty():
        bar = tqdm(
            total=total, initial=done, leave=False, dynamic_ncols=True,
            bar_format=f"{task}: {{percentage:3.0f}}%|{{bar}}| {{n_fmt}}/{{total_fmt}} {unit}, {{remaining}} left",
        )  # fmt: skip
        with bar:
            for item in items:
                yield item
                bar.update(size(item))
        return
    before, began = done, time.monotonic()

    def line() -> str:
        rate = (done - before) / (time.monotonic() - began)
        left = f", {tqdm.format_interval((total - done) / rate)} left" if rate else ""
        return f"{task}: {done} of {total} {unit}{left}"

    with _printed(line):
        for item in items:
            yield item
            done += size(item)


@contextmanager
def working(task: str) -> Iterator[None]:
    """Says how long its body takes, if it is more than two seconds: "loading the network: 4 s so far"."""
    began = time.monotonic()
    with _printed(lambda: f"{task}: {time.monotonic() - began:.0f} s so far"):
        yield


@contextmanager
def _printed(line: Callable[[], str]) -> Iterator[None]:
    """Prints lines from a thread while the body runs, at first after two seconds, then more and more rarely."""
    ended = threading.Event()

    def run() -> None:
        wait = _FIRST
        while not ended.wait(wait):
            if _running[-1:] == [ended]:
                _write(line())
                wait = min(2 * wait, _LONGEST)

    thread = threading.Thread(target=run, daemon=True)
    _running.append(ended)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        _running.remove(ended)
        thread.join()


def _write(text: str) -> None:
    from senet_jax.terminal.bars import tqdm

    tqdm.write(text, file=sys.stderr)
    sys.stderr.flush()


def say(text: str) -> None:
    """Prints a line on stdout, above the bar if there is one."""
    from senet_jax.terminal.bars import tqdm

    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
