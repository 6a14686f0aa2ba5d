"""Plain forms of operations, by JAX's own: they have derivatives of any order and sharding rules, but are slower."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import jax

from senet_jax.typing import Array

_PLAIN = ContextVar("plain", default=False)


@contextmanager
def plain() -> Iterator[None]:
    """Makes convolutions XLA's, and max pooling of slices and maxima, while tracing."""
    token = _PLAIN.set(True)
    try:
        yield
    finally:
        _PLAIN.reset(token)


def is_plain() -> bool:
    """Returns whether `plain` holds."""
    return _PLAIN.get()


def is_explicit(x: Array) -> bool:
    """Returns whether x is divided along explicit axes of a mesh, for which only JAX's own operations have rules."""
    return any(jax.typeof(x).sharding.spec)
