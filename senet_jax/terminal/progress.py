"""Progress of work that takes more than two seconds: a bar on a terminal, elsewhere plain lines on stderr."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

_FIRST, _LONGEST = 2.0, 60.0
"""Seconds before the first line; the time between lines doubles up to the second."""


def progress(items: Iterable[Item], total: int, task: str, unit: str) -> Iterator[Item]:
    """Yields the items, and shows how many of them are done: "evaluating: 12 of 40 batches, 01:10 left".

    Args:
      items: the work; each item is done when the next one is asked for.
      total: number of items.
      task: a present participle, such as "evaluating".
      unit: plural noun for the items, such as "batches".
    """
    if sys.stderr.isatty():
        yield from tqdm(
            items, total=total, leave=False, dynamic_ncols=True,
            bar_format=f"{task}: {{percentage:3.0f}}%|{{bar}}| {{n_fmt}}/{{total_fmt}} {unit}, {{remaining}} left",
        )  # fmt: skip
        return
    began = said = time.monotonic()
    wait = _FIRST
    for done, item in enumerate(items, 1):
        yield item
        now = time.monotonic()
        if now - said >= wait and done < total:
            left = tqdm.format_interval((now - began) / done * (total - done))
            print(f"{task}: {done} of {total} {unit}, {left} left", file=sys.stderr, flush=True)
            said, wait = now, min(2 * wait, _LONGEST)


def say(text: str) -> None:
    """Prints a line on stdout, above the bar if there is one."""
    tqdm.write(text, file=sys.stdout)
    sys.stdout.flush()
