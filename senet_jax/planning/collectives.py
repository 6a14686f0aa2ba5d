"""The collectives in a compiled program, read from its text."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_KINDS = ("all-reduce", "all-gather", "reduce-scatter", "all-to-all", "collective-permute", "collective-broadcast")
_CALL = re.compile(rf"^\s*(?:ROOT )?%?[\w.-]+ = (.*?) ({'|'.join(_KINDS)})(-start)?\(", re.MULTILINE)
_ARRAY = re.compile(r"\b([a-z]+)(\d+)?(?:e\d+m\d+\w*)?\[([\d,]*)\]")


@dataclass(frozen=True)
class Collective:
    """An exchange of data between devices."""

    kind: str
    """Operation, such as "all-reduce"."""
    bytes: int
    """Bytes of its result on each device."""


def read(program: str) -> Iterator[Collective]:
    """Yields the collectives in the text of a compiled program (HLO); one in a loop counts once."""
    for shapes, kind, start in _CALL.findall(program):
        arrays = _ARRAY.findall(shapes)
        if start and kind != "all-reduce":  # Its result has the operands before the results.
            arrays = arrays[len(arrays) // 2 :]
        yield Collective(kind, sum(_bytes(*array) for array in arrays))


def _bytes(kind: str, bits: str, shape: str) -> int:
    size = 1 if kind == "pred" else int(bits) / 8
    return math.ceil(size * math.prod(map(int, filter(None, shape.split(",")))))
