"""Bounded types of fields: numbers, names and texts with rules."""

from math import inf
from typing import Annotated

from senet_jax import words
from senet_jax.patterns import read_numbers
from senet_jax.schema import Rule


def _are_factors(texts: tuple[str, ...]) -> bool:
    factors = read_numbers(texts)
    return factors is not None and all(0 <= factor < inf for factor in factors.values())


Name = Annotated[str, Rule("a name, which cannot be empty", bool)]
Network = Annotated[
    str, Rule("the name of a network, which `list` prints", words.NETWORKS.__contains__, words.NETWORKS)
]
Positive = Annotated[float, Rule("a positive number", lambda value: 0 < value < inf)]
NotNegative = Annotated[float, Rule("a number of 0 or more", lambda value: 0 <= value < inf)]
Finite = Annotated[float, Rule("a finite number", lambda value: -inf < value < inf)]
Rate = Annotated[float, Rule("a number of at least 0 and less than 1", lambda value: 0 <= value < 1)]
Share = Annotated[float, Rule("a number of more than 0 and at most 1", lambda value: 0 < value <= 1)]
Probability = Annotated[float, Rule("a number from 0 to 1", lambda value: 0 <= value <= 1)]
Magnitude = Annotated[float, Rule("a number from 0 to 10", lambda value: 0 <= value <= 10)]
Decay = Annotated[float, Rule("a number of more than 0 and less than 1", lambda value: 0 < value < 1)]
Count = Annotated[int, Rule("a whole number of 1 or more", lambda value: value >= 1)]
CountOrZero = Annotated[int, Rule("a whole number of 0 or more", lambda value: value >= 0)]
Intensity = Annotated[CountOrZero, Rule("a whole number from 0 to 255", lambda value: value <= 255)]
Means = Annotated[tuple[Finite, ...], Rule("one or more finite numbers", bool)]
Seed = Annotated[int, Rule("a whole number of 0 or more, and less than 2**31", lambda value: 0 <= value < 2**31)]
Stages = Annotated[
    tuple[Count, ...],
    Rule("one or more different numbers of stages", lambda stages: len(set(stages)) == len(stages) > 0),
]
Factors = Annotated[tuple[str, ...], Rule("PATTERN=FACTOR, each pattern once, as in stem=0.1,*/se=10", _are_factors)]
