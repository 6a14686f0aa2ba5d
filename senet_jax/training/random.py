"""Random numbers: one seed, named streams, a key for each step."""

import zlib

import jax

from senet_jax.typing import Array


def stream(seed: int | Array, name: str, step: int | Array = 0) -> Array:
    """Returns the key of a named stream at a step, which does not depend on other streams."""
    key = jax.random.fold_in(jax.random.key(seed), zlib.crc32(name.encode()))
    return jax.random.fold_in(key, step)
