"""Precision of sums."""

import jax.numpy as jnp

from senet_jax.typing import Array


def at_least_float32(x: Array) -> Array:
    """Returns x in float32, or as it is in float64."""
    return x if jnp.finfo(x.dtype).bits >= 32 else x.astype(jnp.float32)
