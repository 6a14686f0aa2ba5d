"""Names of the optimizers and of their arguments, with their defaults. Standard library only."""

from collections.abc import Iterable
from math import isfinite
from typing import Literal

from senet_jax.patterns import read_numbers

Optimizer = Literal["sgd", "adamw", "rmsprop", "lion", "muon", "schedule_free_sgd", "lamb", "lars"]

ARGUMENTS: dict[str, dict[str, float | bool | int]] = {
    "sgd": {},
    "adamw": {"b1": 0.9, "b2": 0.999, "eps": 1e-8, "nesterov": False},
    "rmsprop": {"decay": 0.9, "eps": 1e-10},
    "lion": {"b1": 0.9, "b2": 0.99},
    "muon": {"beta": 0.95, "nesterov": True, "ns_steps": 5, "eps": 1e-8, "adam_b1": 0.9, "adam_b2": 0.999},
    "schedule_free_sgd": {"b1": 0.9, "weight_lr_power": 2.0},
    "lamb": {},
    "lars": {"trust_coefficient": 0.001, "eps": 0.0},
}
"""Arguments of the optimizers by optax's names, with their defaults; momentum and Nesterov are fields of their own."""


def described_arguments() -> str:
    """Lists the arguments of all optimizers that have some."""
    return "; ".join(f"{name}: {', '.join(own)}" for name, own in ARGUMENTS.items() if own)


def read_arguments(name: str, texts: Iterable[str]) -> dict[str, float | bool | int] | None:
    """Returns all arguments of an optimizer, with the values of texts such as "b2=0.95".

    Returns None if a text has another form, an unknown argument, or a number that the argument does not take.
    """
    known, given = ARGUMENTS[name], read_numbers(texts)
    if given is None or not given.keys() <= known.keys():
        return None
    typed = {argument: type(known[argument])(value) for argument, value in given.items() if isfinite(value)}
    return known | typed if typed == given else None
