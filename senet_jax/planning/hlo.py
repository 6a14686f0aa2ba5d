"""Counts that are read from the text of a compiled program (HLO)."""

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

_COLLECTIVES = (
    "all-reduce",
    "all-gather",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
    "collective-broadcast",
)
_COLLECTIVE = re.compile(rf"^\s*(?:ROOT )?%?[\w.-]+ = (.*?) ({'|'.join(_COLLECTIVES)})(-start)?\(", re.MULTILINE)
_ARRAY = re.compile(r"\b([a-z]+)(\d+)?(?:e\d+m\d+\w*)?\[([\d,]*)\]")
_COMPUTATION = re.compile(r"^(ENTRY )?%([\w.-]+) \(.*?\{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_INSTRUCTION = re.compile(r"^ +(?:ROOT )?%([\w.-]+) = (.*?) ([\w-]+)\((.*?)\)(.*)$", re.MULTILINE)
_CALLED = re.compile(r"(?:to_apply|body|condition)=%([\w.-]+)")
_FREE = ("parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all")
"""Instructions that read and write nothing."""


@dataclass(frozen=True)
class Collective:
    """An exchange of data between devices."""

    kind: str
    """Operation, such as "all-reduce"."""
    bytes: int
    """Bytes of its result on each device."""


def collectives(program: str) -> Iterator[Collective]:
    """Yields the collectives in the text of a compiled program; one in a loop counts once."""
    for shapes, kind, start in _COLLECTIVE.findall(program):
        arrays = _ARRAY.findall(shapes)
        if kind == "collective-permute":  # Numbers of the context can follow.
            arrays = [array for array in arrays if array != ("u", "32", "")]
        if start and (kind != "all-reduce" or shapes.startswith("((")):  # The operands stand before the results.
            arrays = arrays[len(arrays) // 2 :]
        yield Collective(kind, sum(_bytes(*array) for array in arrays))


def bytes_accessed(program: str) -> list[int]:
    """Returns the bytes of the operands and results of each instruction that a compiled program executes.

    A fusion is one instruction, and the body of a loop counts once.
    """
    bodies, entry = {}, ""
    for is_entry, name, body in _COMPUTATION.findall(program):
        bodies[name] = body
        entry = name if is_entry else entry

    def of_computation(name: str) -> Iterator[int]:
        sizes: dict[str, int] = {}
        for result, shapes, operation, operands, rest in _INSTRUCTION.findall(bodies[name]):
            sizes[result] = sum(_bytes(*array) for array in _ARRAY.findall(shapes))
            if operation in ("call", "while"):
                yield from itertools.chain.from_iterable(map(of_computation, _CALLED.findall(rest)))
            elif operation not in _FREE and not operation.endswith("-done"):
                yield sizes[result] + sum(sizes.get(each, 0) for each in re.findall(r"%([\w.-]+)", operands))

    return list(of_computation(entry))


def _bytes(kind: str, bits: str, shape: str) -> int:
    size = 1 if kind == "pred" else int(bits or 0) / 8  # A token has none.
    return math.ceil(size * math.prod(map(int, filter(None, shape.split(",")))))
