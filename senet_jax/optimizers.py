"""Names of the optimizers, and their arguments with defaults and bounds. Standard library only."""

from collections.abc import Iterable
from math import isfinite
from typing import Literal

from senet_jax.patterns import read_numbers
from senet_jax.schema import Rule

Optimizer = Literal["sgd", "adamw", "rmsprop", "lion", "muon", "schedule_free_sgd", "lamb", "lars"]

_ANY = Rule("", lambda _: True)
_DECAY = Rule(" in [0, 1)", lambda value: 0 <= value < 1)
_SHARE = Rule(" in (0, 1)", lambda value: 0 < value < 1)
_POSITIVE = Rule(" > 0", lambda value: value > 0)
_NOT_NEGATIVE = Rule(" >= 0", lambda value: value >= 0)

_ARGUMENTS: dict[str, dict[str, tuple[float | bool | int, Rule]]] = {
    "sgd": {},
    "adamw": {"b1": (0.9, _DECAY), "b2": (0.999, _DECAY), "eps": (1e-8, _POSITIVE), "nesterov": (False, _ANY)},
    "rmsprop": {"decay": (0.9, _DECAY), "eps": (1e-10, _POSITIVE)},
    "lion": {"b1": (0.9, _DECAY), "b2": (0.99, _DECAY)},
    "muon": {
        "beta": (0.95, _DECAY),
        "nesterov": (True, _ANY),
        "ns_steps": (5, _POSITIVE),
        "eps": (1e-8, _POSITIVE),
        "adam_b1": (0.9, _DECAY),
        "adam_b2": (0.999, _DECAY),
    },
    "schedule_free_sgd": {"b1": (0.9, _SHARE), "weight_lr_power": (2.0, _NOT_NEGATIVE)},
    "lamb": {},
    "lars": {"trust_coefficient": (0.001, _POSITIVE), "eps": (0.0, _NOT_NEGATIVE)},
}
"""Arguments of the optimizers by optax's names, each with its default and the numbers that it takes; momentum and
Nesterov are fields of their own."""


def described_arguments() -> str:
    """Lists the arguments of all optimizers that have some, with their defaults."""
    described = {
        name: ", ".join(f"{argument}={default}{numbers.words}" for argument, (default, numbers) in own.items())
        for name, own in _ARGUMENTS.items()
    }
    return "; ".join(f"{name}: {own}" for name, own in described.items() if own)


def read_arguments(name: str, texts: Iterable[str]) -> dict[str, float | bool | int] | None:
    """Returns all arguments of an optimizer, with the values of texts such as "b2=0.95".

    Returns None if a text has another form, an unknown argument, or a number that the argument does not take.
    """
    known, given = _ARGUMENTS[name], read_numbers(texts)
    if given is None or not given.keys() <= known.keys():
        return None
    defaults = {argument: default for argument, (default, _) in known.items()}
    typed = {
        argument: type(defaults[argument])(value)
        for argument, value in given.items()
        if isfinite(value) and known[argument][1].holds(value)
    }
    return defaults | typed if typed == given else None
